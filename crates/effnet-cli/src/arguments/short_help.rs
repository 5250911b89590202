//! Selects the flags that `-h` lists: those that most calls need, so that they fit on one screen. `--help` lists all
//! flags.

/// Headings of the flags that only `--help` lists.
const ADVANCED: [&str; 5] = [
    "Execution",
    "Limits",
    "Preprocessing",
    "Published weights",
    "Distributed training",
];

/// The flags of `train` and `finetune` that `-h` lists; there are five times as many in total.
const TRAINING: [&str; 12] = [
    "model",
    "weights",
    "recipe",
    "epochs",
    "batch_size",
    "lr",
    "val_split",
    "image_size",
    "device",
    "output",
    "resume",
    "config",
];

/// The commands whose flags do not fit on one screen.
const LONG: [&str; 12] = [
    "classify", "finetune", "train", "evaluate", "report", "explain", "check", "export", "features",
    "similar", "bench", "serve",
];

/// Hides all but the common flags of a long command from `-h`.
pub(super) fn common_flags_only(command: clap::Command) -> clap::Command {
    if !LONG.contains(&command.get_name()) {
        return command;
    }
    let is_training = matches!(command.get_name(), "train" | "finetune");
    let is_advanced = |argument: &clap::Arg| {
        let heading = argument.get_help_heading();
        if is_training {
            let id = argument.get_id().as_str();
            heading != Some("Global") && !argument.is_positional() && !TRAINING.contains(&id)
        } else {
            heading.is_some_and(|heading| ADVANCED.contains(&heading))
        }
    };
    let examples = command.get_after_help().cloned();
    let hides = command.get_arguments().any(is_advanced);
    let command = command.mut_args(|argument| {
        let hidden = is_advanced(&argument);
        argument.hide_short_help(hidden)
    });
    match (examples, hides) {
        (Some(examples), true) => {
            let more = format!(
                "{examples}\n\n`effnet {} --help` lists all flags",
                command.get_name()
            );
            command.after_help(more).after_long_help(examples)
        }
        _ => command,
    }
}
