//! `effnet man`: generates the manual pages from the same definition as `--help`.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use clap_mangen::Man;
use effnet_data::replace_file;

use crate::Outcome;
use crate::arguments::{Arguments, ManArguments};

pub(crate) fn run(arguments: &ManArguments) -> anyhow::Result<Outcome> {
    // `effnet help` is only another way to print `--help`, so it does not need a page.
    let mut command = Arguments::definition().disable_help_subcommand(true);
    // This gives the subcommands their full names and the global flags.
    command.build();
    match &arguments.output {
        None => std::io::stdout().write_all(&page(&command)?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("--output {}: cannot create this folder", folder.display()))?;
            write_pages(&command, folder)?;
        }
    }
    Ok(Outcome::Done)
}

/// Writes the page of this command and the pages of its subcommands.
fn write_pages(command: &clap::Command, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.1", name(command)));
    let page = page(command)?;
    replace_file(&path, |file| file.write_all(&page))?;
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .try_for_each(|subcommand| write_pages(subcommand, folder))
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(name(command).to_uppercase())
        // No date, so that the same sources give the same page. It is quoted because a bare empty argument would be
        // dropped and the next argument taken for the date.
        .date("\"\"")
        .source(concat!("effnet ", env!("CARGO_PKG_VERSION")))
        .manual("effnet manual")
        .render(&mut page)?;
    Ok(page)
}

/// Returns the name of a page, such as `effnet-cache-list` for `effnet cache list`.
fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_gets_a_page_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let output = Some(folder.path().join("man/man1"));
        run(&ManArguments {
            output: output.clone(),
        })
        .unwrap();
        let read = |name: &str| std::fs::read_to_string(output.as_deref().unwrap().join(name)).unwrap();
        assert!(read("effnet.1").contains("effnet\\-classify(1)"));
        let classify = read("effnet-classify.1");
        assert!(classify.contains("effnet\\-classify \\-"), "{classify}");
        assert!(classify.contains("\\-\\-top\\-k"), "{classify}");
        assert!(classify.contains(".SH PREPROCESSING"), "{classify}");
        assert!(read("effnet-cache-list.1").contains("effnet cache list"));
        let title = ".TH EFFNET-CLASSIFY 1 \"\" \"effnet ";
        assert!(classify.contains(title), "{classify}");
        for page in std::fs::read_dir(output.as_deref().unwrap()).unwrap() {
            let name = page.unwrap().file_name();
            assert!(!name.to_str().unwrap().contains("help"), "{}", name.display());
        }
    }
}
