//! `terrarium store schema`.

use terrarium_usage::schema::TABLES;

use crate::cli::SchemaArgs;
use crate::error::CliError;
use crate::out::result;

/// Returns the exit code.
pub(crate) fn run(args: &SchemaArgs) -> Result<u8, CliError> {
    result(if args.markdown { markdown() } else { text() })?;
    Ok(0)
}

fn text() -> String {
    let mut text = String::new();
    for table in TABLES {
        text.push_str(&format!("{}: {}\n", table.name, table.about));
        for column in table.columns {
            text.push_str(&format!("  {:<22} {:<19} {}\n", column.name, column.kind.name(), column.about));
        }
        text.push('\n');
    }
    text
}

/// The tables of docs/reference/store.md.
pub(crate) fn markdown() -> String {
    let mut text = String::new();
    for table in TABLES {
        text.push_str(&format!("### {}\n\nA row is {}.", table.name, table.about));
        if !table.partitions.is_empty() {
            text.push_str(&format!(" Directories: {}.", table.partitions.join(", ")));
        }
        text.push_str("\n\n| column | type | meaning |\n|---|---|---|\n");
        for column in table.columns {
            text.push_str(&format!("| `{}` | {} | {} |\n", column.name, column.kind.name(), column.about));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_all_columns() {
        let page = include_str!("../../../../docs/reference/store.md");
        assert!(page.contains(super::markdown().trim_end()), "terrarium store schema --markdown prints it");
    }
}
