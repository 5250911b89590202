//! `effnet completions`.

use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use effnet::Variant;
use effnet_architecture::Scheme;
use effnet_hub::{Entry, Manifest};

use crate::Outcome;
use crate::arguments::{Arguments, CompletionsArguments};

pub(crate) fn run(arguments: &CompletionsArguments) -> anyhow::Result<Outcome> {
    let ids = Ids::published()?;
    // The script is written to memory first, because clap_complete panics if it writes to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut ids.offered_by(Arguments::definition()),
        "effnet",
        &mut script,
    );
    let script = with_files(arguments.shell, &String::from_utf8_lossy(&script), &ids.weights);
    std::io::Write::write_all(&mut std::io::stdout(), script.as_bytes())?;
    Ok(Outcome::Done)
}

/// The names that completion offers. clap itself does not know them, because `--model` and `--weights` also accept
/// other names.
struct Ids {
    /// For `--model`: the variants, and the ids that `effnet models` lists.
    models: Vec<&'static str>,
    /// For `--weights`, which also accepts files.
    weights: Vec<&'static str>,
    /// For `download`: every id.
    all: Vec<&'static str>,
}

impl Ids {
    fn published() -> anyhow::Result<Self> {
        let manifest = Manifest::embedded()?;
        // clap needs names that live as long as the process, which ends after this.
        let id = |entry: &Entry| &*entry.id.clone().leak();
        let all = manifest.entries().iter().map(id).collect();
        let listed = manifest
            .entries()
            .iter()
            .filter(|entry| entry.scheme != Scheme::Timm);
        let weights: Vec<&'static str> = listed.map(id).collect();
        Ok(Self {
            models: Variant::ALL
                .map(Variant::name)
                .into_iter()
                .chain(weights.iter().copied())
                .collect(),
            weights,
            all,
        })
    }

    fn offered_by(&self, command: clap::Command) -> clap::Command {
        command.mut_subcommands(|command| {
            command.mut_args(|argument| {
                let names = match argument.get_id().as_str() {
                    "model" => &self.models,
                    "weights" => &self.weights,
                    "ids" => &self.all,
                    _ => return argument,
                };
                argument.value_parser(PossibleValuesParser::new(names))
            })
        })
    }
}

/// Makes the script offer file names in addition to the ids of weights, which clap_complete cannot express.
fn with_files(shell: Shell, script: &str, ids: &[&str]) -> String {
    let list = ids.join(" ");
    match shell {
        Shell::Bash => script.replace(
            &format!("compgen -W \"{list}\""),
            &format!("compgen -f -W \"{list}\""),
        ),
        Shell::Zsh => script.replace(
            &format!(":({list})"),
            &format!(":{{_alternative \"ids:id:({list})\" \"files:file:_files\"}}"),
        ),
        Shell::Fish => {
            let line = |line: &str| {
                if line.contains(" -l weights ") {
                    line.replace(" -r -f -a ", " -r -F -a ") + "\n"
                } else {
                    line.to_owned() + "\n"
                }
            };
            // A list of values may span several lines; only the first line has the flags.
            script.lines().map(line).collect()
        }
        _ => script.to_owned(),
    }
}
