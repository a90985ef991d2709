//! The screen that refreshes: takes the terminal over, and gives it back however this ends.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event};
use crossterm::{Command, cursor, style, terminal};
use terrarium_sys::fds::wait_readable;
use terrarium_sys::signals::{SignalFd, stop_self, take_over};

use super::draw::{Line, Look, draw};
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

/// The terminal in our hands; given back when dropped, or by the panic hook: a panic ends this program at once.
struct Taken;

impl Taken {
    fn take() -> io::Result<Taken> {
        terminal::enable_raw_mode()?;
        let taken = Taken;
        put(&text(|out| {
            ansi(out, terminal::EnterAlternateScreen);
            ansi(out, cursor::Hide);
            ansi(out, terminal::DisableLineWrap);
            ansi(out, terminal::Clear(terminal::ClearType::All));
        }))?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    let _ = put(&text(|out| {
        ansi(out, style::SetAttribute(style::Attribute::Reset));
        ansi(out, terminal::EndSynchronizedUpdate);
        ansi(out, terminal::EnableLineWrap);
        ansi(out, cursor::Show);
        ansi(out, terminal::LeaveAlternateScreen);
    }));
    let _ = terminal::disable_raw_mode();
}

fn text(fill: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    fill(&mut out);
    out
}

fn ansi(out: &mut String, command: impl Command) {
    let _ = command.write_ansi(out);
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
    text(|out| {
        ansi(out, terminal::BeginSynchronizedUpdate);
        for (row, line) in lines.iter().enumerate() {
            if before.get(row) == Some(line) {
                continue;
            }
            ansi(out, cursor::MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)));
            for (piece, look) in line {
                paint(out, *look, style.colour);
                let _ = if style.unicode { out.write_str(piece) } else { out.write_str(&ascii(piece)) };
                ansi(out, style::SetAttribute(style::Attribute::Reset));
            }
        }
        ansi(out, terminal::EndSynchronizedUpdate);
    })
}

fn paint(out: &mut String, look: Look, colour: bool) {
    let attribute = match look {
        Look::Plain => return,
        Look::Bold => style::Attribute::Bold,
        Look::Dim => style::Attribute::Dim,
        Look::Marked => style::Attribute::Reverse,
        Look::Warning if colour => return ansi(out, style::SetForegroundColor(style::Color::Red)),
        Look::Warning => style::Attribute::Bold,
    };
    ansi(out, style::SetAttribute(attribute));
}

/// Columns and lines; those of old where a terminal does not say.
pub(crate) fn room() -> (usize, usize) {
    match terminal::window_size().map(|s| (usize::from(s.columns), usize::from(s.rows))) {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
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
    let taken = Taken::take()?;
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
                WINCH => put(&text(|out| ansi(out, terminal::Clear(terminal::ClearType::All))))?,
                TSTP => suspend()?,
                CONT => resume()?,
                _ if ENDING.contains(&signal) => return Ok(128 + signal as u8),
                _ => {}
            }
        }
        let mut now = false;
        if typed {
            let mut any = false;
            while event::poll(Duration::ZERO)? {
                any = true;
                let Event::Key(key) = event::read()? else { continue };
                match screen.key(key, &view) {
                    Deed::Nothing => {}
                    Deed::Look => now = true,
                    Deed::Suspend => {
                        suspend()?;
                        shown.clear();
                    }
                    Deed::Redraw => {
                        put(&text(|out| ansi(out, terminal::Clear(terminal::ClearType::All))))?;
                        shown.clear();
                    }
                    Deed::Quit => return Ok(0),
                }
            }
            // Readable and yet nothing there: nobody is at the other end.
            if !any && is_gone() {
                return Ok(HUNG_UP);
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
    terminal::window_size().is_err()
}

/// Ctrl-Z: as any other program, with the terminal as it was.
fn suspend() -> io::Result<()> {
    give_back();
    stop_self(STOP);
    resume()
}

fn resume() -> io::Result<()> {
    // Whoever had the terminal meanwhile may have set its modes: from raw to raw would change nothing.
    let _ = terminal::disable_raw_mode();
    let taken = Taken::take()?;
    // Somebody holds it already, or will.
    std::mem::forget(taken);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_no_escape_sequence_but_ours() {
        let line: Line = vec![("plain ≤".to_owned(), Look::Plain), ("!".to_owned(), Look::Warning)];
        let plain = frame(std::slice::from_ref(&line), &[], Style { unicode: false, colour: false });
        assert!(plain.is_ascii() && plain.contains("plain <") && !plain.contains("38;5"));
        let all = Style { unicode: true, colour: true };
        let rich = frame(std::slice::from_ref(&line), &[Line::new()], all);
        assert!(rich.contains("plain ≤") && rich.contains("38;5"));
        assert!(!frame(std::slice::from_ref(&line), std::slice::from_ref(&line), all).contains("plain"));
    }
}
