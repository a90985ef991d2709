//! `terrarium top`: the runs of this node, live or once.

mod draw;
mod json;
mod keys;
mod live;
mod look;
mod screen;
mod text;

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use terrarium_jail::host::Host;

use self::json::Document;
use self::live::Style;
use self::look::{Looker, View};
use self::screen::Screen;
use super::reap::uid_of;
use crate::cli::top::TopArgs;
use crate::error::CliError;
use crate::out;

/// Returns the exit code.
pub(crate) fn run(args: &TopArgs) -> Result<u8, CliError> {
    let uid = args.user.as_deref().map(uid_of).transpose()?;
    let mut looker = Looker::new(Host::default(), uid, args.job);
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if !args.once && !args.json && terminal && !dumb {
        let interval = args.interval.unwrap_or(Duration::from_secs(2));
        return live::show(&mut looker, interval, style()).map_err(CliError::Terminal);
    }
    let interval = args.interval.unwrap_or(Duration::from_secs(1));
    looker.look(None, false);
    std::thread::sleep(interval);
    let view = looker.look(None, args.json || args.job.is_some());
    if args.json {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|t| t.as_secs_f64());
        let document = Document::new(&view, time, interval);
        out::result(serde_json::to_string_pretty(&document).unwrap_or_default())?;
    } else {
        print(args, &view)?;
    }
    Ok(0)
}

/// The table; with `--job` also what the screen says of one job.
fn print(args: &TopArgs, view: &View) -> Result<(), CliError> {
    let style = style();
    let line = |text: &str| out::result(if style.unicode { text.to_owned() } else { text::ascii(text) });
    // Who has chosen jobs is not told how to start one.
    let chosen = args.user.is_some() || args.job.is_some();
    if view.rows.is_empty() && chosen {
        return line("no such job runs on this node");
    }
    let screen = Screen::default();
    if !view.rows.is_empty() {
        // To a terminal, lines of its width; to a program, all there is.
        let columns = std::io::stdout().is_terminal().then(|| live::room().0);
        for text in draw::table(&screen, view, columns) {
            line(&text)?;
        }
    }
    if args.job.is_some() {
        for row in &view.rows {
            line("")?;
            for text in draw::parts(&screen, row) {
                line(&text)?;
            }
        }
    }
    for text in draw::remarks(view) {
        line(&text)?;
    }
    Ok(())
}

fn style() -> Style {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_ascii_uppercase();
    Style { unicode: locale.contains("UTF-8") || locale.contains("UTF8"), colour: set("NO_COLOR").is_none() }
}
