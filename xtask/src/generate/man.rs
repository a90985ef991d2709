//! Man pages: the parts that `clap_mangen` makes well, and sections of our own from the text after the options.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;

/// The pages of a built command and of its subcommands.
pub(super) fn pages(command: &Command) -> Vec<(PathBuf, String)> {
    let mut commands = Vec::new();
    visible(command, &mut commands);
    let names: Vec<&str> = commands.iter().map(|command| name(command)).collect();
    let page = |command| (format!("share/man/man1/{}.1", name(command)).into(), page(command, &names));
    commands.iter().copied().map(page).collect()
}

fn visible<'a>(command: &'a Command, all: &mut Vec<&'a Command>) {
    all.push(command);
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        visible(subcommand, all);
    }
}

/// `terrarium-run` for `terrarium run`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, names: &[&str]) -> String {
    let usage = command.clone().render_usage().to_string();
    // A list of all flags is no synopsis.
    let command = &command.clone().override_usage(usage.trim_start_matches("Usage:").trim().to_owned());
    let version = command.get_version().unwrap_or_default().to_owned();
    let man = Man::new(command.clone());
    // Without a date, so that the same flags give the same page; lines are not stretched.
    let title = escaped(&name(command).to_uppercase());
    let mut page = format!(".TH {title} 1 \"\" \"terrarium {version}\" \"Terrarium Manual\"\n.ad l\n");
    page += &rendered(|out| man.render_name_section(out));
    page += &rendered(|out| man.render_synopsis_section(out));
    page += &description(command);
    if command.has_subcommands() {
        let commands = rendered(|out| man.render_subcommands_section(out));
        page += &commands.replace(".SH SUBCOMMANDS", ".SH COMMANDS").replace(".SH Commands", ".SH COMMANDS");
    }
    // Possible values line up with the text they belong to.
    page += &options(&rendered(|out| man.render_options_section(out))).replace("\n.RS 14\n", "\n.RS\n");
    if let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        page += &sections(&text.to_string());
    }
    page += &see_also(name(command), names);
    page
}

fn rendered(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut page = Vec::new();
    // A Vec takes everything.
    let _ = render(&mut page);
    let page = String::from_utf8_lossy(&page).into_owned();
    // Each part begins with a definition of `Aq` for troffs of long ago.
    page[page.find(".SH ").unwrap_or(0)..].replace("\\*(Aq", "\\(aq")
}

/// The long text, less its first paragraph if that is the line under NAME.
fn description(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let text = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let text = text.strip_prefix(&about).unwrap_or(&text).trim();
    let paragraphs: Vec<String> = text.split("\n\n").map(body).collect();
    if text.is_empty() { String::new() } else { format!(".SH DESCRIPTION\n{}", paragraphs.join(".PP\n")) }
}

/// What the command is for comes first, `--help` and `--version` last.
fn options(text: &str) -> String {
    let mut sections: Vec<String> = text.split_inclusive('\n').fold(Vec::new(), |mut sections, line| {
        match sections.last_mut() {
            Some(section) if !line.starts_with(".SH ") => section.push_str(line),
            _ => sections.push(line.to_owned()),
        }
        sections
    });
    sections.sort_by_key(|section| section.starts_with(".SH OPTIONS"));
    sections.concat()
}

/// The text after the options as sections: a paragraph that begins with `Heading:` is one, the rest are notes.
fn sections(text: &str) -> String {
    let mut notes = String::new();
    let mut sections = String::new();
    for paragraph in text.split("\n\n") {
        let heading = paragraph.split_once(':').filter(|(heading, _)| {
            matches!(heading.trim(), "Environment" | "Examples" | "Exit status" | "Files" | "Signals")
        });
        match heading {
            Some((heading, rest)) => {
                let _ = writeln!(sections, ".SH \"{}\"", heading.trim().to_uppercase());
                let rest = rest.trim_start_matches(' ').trim_start_matches('\n');
                let mut rest = rest.chars();
                let first = rest.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
                sections += &body(&(first + rest.as_str()));
            }
            None if notes.is_empty() => notes = format!(".SH NOTES\n{}", body(paragraph)),
            None => notes += &format!(".PP\n{}", body(paragraph)),
        }
    }
    notes + &sections
}

/// Indented lines are a list of `term  what it means`, or are shown as they are; others flow.
fn body(text: &str) -> String {
    let mut out = String::new();
    let mut verbatim = false;
    for line in text.lines() {
        let item = line.strip_prefix("  ");
        let pair = item.and_then(|item| item.trim().split_once("  "));
        if verbatim && (item.is_none() || pair.is_some()) {
            out += ".EE\n";
            verbatim = false;
        }
        match (item, pair) {
            (_, Some((term, meaning))) => {
                let _ = writeln!(out, ".TP\n.B {}\n{}", escaped(term), escaped(meaning.trim_start()));
            }
            (Some(item), None) => {
                if !verbatim {
                    out += ".EX\n";
                    verbatim = true;
                }
                let _ = writeln!(out, "{}", escaped(item));
            }
            (None, None) => {
                let _ = writeln!(out, "{}", escaped(line));
            }
        }
    }
    if verbatim {
        out += ".EE\n";
    }
    out
}

fn see_also(own: &str, names: &[&str]) -> String {
    let others: Vec<String> =
        names.iter().filter(|name| **name != own).map(|name| format!(".BR {} (1)", escaped(name))).collect();
    if others.is_empty() { String::new() } else { format!(".SH \"SEE ALSO\"\n{}\n", others.join(" ,\n")) }
}

/// Text that roff takes as it stands: hyphens are to be searched and copied, a leading dot is no request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_the_options_becomes_sections() {
        let text = "Sizes are powers.\n\nExamples:\n  a --b\n  .c\n\nExit status: that of it, or\n  121  left\n  122  not held";
        assert_eq!(
            sections(text),
            ".SH NOTES\nSizes are powers.\n\
             .SH \"EXAMPLES\"\n.EX\na \\-\\-b\n\\&.c\n.EE\n\
             .SH \"EXIT STATUS\"\nThat of it, or\n.TP\n.B 121\nleft\n.TP\n.B 122\nnot held\n"
        );
    }

    #[test]
    fn help_and_version_come_last() {
        assert_eq!(options(".SH OPTIONS\nh\n.SH LIMITS\nm\n"), ".SH LIMITS\nm\n.SH OPTIONS\nh\n");
    }

    #[test]
    fn other_pages_are_named() {
        assert_eq!(see_also("a", &["a", "a-b", "a-c"]), ".SH \"SEE ALSO\"\n.BR a\\-b (1) ,\n.BR a\\-c (1)\n");
    }
}
