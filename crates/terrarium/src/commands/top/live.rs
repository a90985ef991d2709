//! The screen that refreshes: takes the terminal over, and gives it back however this ends.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use terrarium_sys::fds::{Modes, give_modes_back, make_raw, read_some, terminal_room, wait_readable};
use terrarium_sys::signals::{SignalFd, stop_self, take_over};

use super::draw::{Line, Look, draw};
use super::keys::keys;
use super::look::Looker;
use super::screen::{Deed, Screen};
use super::text::ascii;

/// Signals that end it: HUP, INT, QUIT, ALRM, TERM, PWR, XCPU.
const ENDING: [i32; 7] = [1, 2, 3, 14, 15, 30, 24];
const WINCH: i32 = 28;
const TSTP: i32 = 20;
const CONT: i32 = 18;
const STOP: i32 = 19;

/// Exit code after a hangup.
const HUNG_UP: u8 = 128 + 1;

/// How text looks here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// The terminal shows more than ASCII.
    pub(crate) unicode: bool,
    /// NO_COLOR is not set.
    pub(crate) colour: bool,
}

/// What every terminal of these days understands (ECMA-48, and DEC's private modes). The alternate screen leaves the scrollback
/// alone; ?7 is the wrap at the last column, ?2026 has the terminal show a frame as a whole, if it can.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const GIVE_BACK: &str = "\x1b[0m\x1b[?2026l\x1b[?7h\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[2J";
const FRAME: (&str, &str) = ("\x1b[?2026h", "\x1b[?2026l");

/// How the terminal was, while it is in our hands; also for the panic hook: a panic ends this program at once.
static TAKEN: Mutex<Option<Modes>> = Mutex::new(None);

/// The terminal in our hands until this is dropped.
struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    let modes = make_raw(io::stdin().as_fd())?;
    if let Ok(mut taken) = TAKEN.lock() {
        *taken = Some(modes);
    }
    put(TAKE)
}

fn give_back() {
    let Some(modes) = TAKEN.try_lock().ok().and_then(|mut taken| taken.take()) else { return };
    let _ = put(GIVE_BACK);
    give_modes_back(io::stdin().as_fd(), &modes);
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A frame as a terminal takes it: the lines that are not as they were.
fn frame(lines: &[Line], before: &[Line], style: Style) -> String {
    if lines == before {
        return String::new();
    }
    let mut out = FRAME.0.to_owned();
    for (row, line) in lines.iter().enumerate() {
        if before.get(row) == Some(line) {
            continue;
        }
        let _ = write!(out, "\x1b[{};1H", row + 1);
        for (piece, look) in line {
            out += attribute(*look, style.colour);
            out += &if style.unicode { piece.clone() } else { ascii(piece) };
            out += "\x1b[0m";
        }
    }
    out + FRAME.1
}

fn attribute(look: Look, colour: bool) -> &'static str {
    match look {
        Look::Plain => "",
        Look::Bold => "\x1b[1m",
        Look::Dim => "\x1b[2m",
        Look::Marked => "\x1b[7m",
        Look::Warning if colour => "\x1b[31m",
        Look::Warning => "\x1b[1m",
    }
}

/// Columns and lines; those of old where a terminal does not say.
pub(crate) fn room() -> (usize, usize) {
    match terminal_room(io::stdout().as_fd()) {
        Some((columns, lines)) if columns > 0 && lines > 0 => (columns.into(), lines.into()),
        _ => (80, 24),
    }
}

/// Shows the screen until it is quit; returns the exit code.
pub(crate) fn show(looker: &mut Looker, interval: Duration, style: Style) -> io::Result<u8> {
    // A panic's message would else vanish with the alternate screen, and the terminal stay raw.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        hook(panic);
    }));
    // Never given back: this program ends after it, and a second SIGHUP must not cut that short.
    let (_, signals) = take_over()?;
    let taken = Taken;
    take()?;
    let result = watch(looker, interval, style, &signals);
    drop(taken);
    let _ = std::panic::take_hook();
    match result {
        Err(_) if is_gone() => Ok(HUNG_UP),
        result => result,
    }
}

fn watch(looker: &mut Looker, interval: Duration, style: Style, signals: &SignalFd) -> io::Result<u8> {
    let mut screen = Screen::default();
    let mut view = looker.look(None, false);
    // CPU use takes two looks: the second comes soon.
    let mut next = Instant::now() + interval.min(Duration::from_millis(300));
    let input = io::stdin();
    let mut shown: Vec<Line> = Vec::new();
    loop {
        screen.settle(&view);
        let (columns, lines) = room();
        let drawn = draw(&mut screen, &view, columns, lines);
        put(&frame(&drawn, &shown, style))?;
        shown = drawn;
        let pause = (!screen.paused).then(|| next.saturating_duration_since(Instant::now()));
        let [typed, signalled] = wait_readable([input.as_fd(), signals.as_fd()], pause)?;
        while let Some(signal) = signalled.then(|| signals.next()).flatten().map(|s| s.signal) {
            // What is on the terminal now is not known.
            shown.clear();
            match signal {
                WINCH => put(CLEAR)?,
                TSTP => suspend()?,
                CONT => resume()?,
                _ if ENDING.contains(&signal) => return Ok(128 + signal as u8),
                _ => {}
            }
        }
        let mut now = false;
        if typed {
            let mut bytes = [0; 1024];
            let count = read_some(input.as_fd(), &mut bytes);
            // Readable and yet nothing there: nobody is at the other end.
            if count == 0 {
                return Ok(HUNG_UP);
            }
            for key in keys(&bytes[..count]) {
                match screen.key(key, &view) {
                    Deed::Nothing => {}
                    Deed::Look => now = true,
                    Deed::Suspend => {
                        suspend()?;
                        shown.clear();
                    }
                    Deed::Redraw => {
                        put(CLEAR)?;
                        shown.clear();
                    }
                    Deed::Quit => return Ok(0),
                }
            }
        }
        if now || (!screen.paused && Instant::now() >= next) {
            view = looker.look(screen.into, false);
            next = Instant::now() + interval;
        }
    }
}

/// Whether the terminal has been hung up.
fn is_gone() -> bool {
    terminal_room(io::stdin().as_fd()).is_none()
}

/// Ctrl-Z: as any other program, with the terminal as it was.
fn suspend() -> io::Result<()> {
    give_back();
    stop_self(STOP);
    resume()
}

/// Whoever had the terminal meanwhile may have set its modes.
fn resume() -> io::Result<()> {
    give_back();
    take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_no_escape_sequence_but_ours() {
        let line: Line = vec![("plain ≤".to_owned(), Look::Plain), ("!".to_owned(), Look::Warning)];
        let plain = frame(std::slice::from_ref(&line), &[], Style { unicode: false, colour: false });
        assert!(plain.is_ascii() && plain.contains("plain <") && !plain.contains("[31m"));
        let all = Style { unicode: true, colour: true };
        let rich = frame(std::slice::from_ref(&line), &[Line::new()], all);
        assert!(rich.contains("plain ≤") && rich.contains("[31m"));
        assert!(!frame(std::slice::from_ref(&line), std::slice::from_ref(&line), all).contains("plain"));
    }
}
