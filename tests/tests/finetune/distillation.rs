//! `--teacher`: learning from another network.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use effnet_tests::{finish, interpreter, interrupt, skip};
use serde_json::Value;
use tch::{CModule, Device, Kind, Tensor};

use super::resume::{results, start, wait_for_steps};
use super::{Home, QUICK, refused, succeeded};

/// A TorchScript file that gives every image these logits.
fn write_script(path: &Path, logits: &[f32]) {
    let logits = Tensor::from_slice(logits).unsqueeze(0);
    let mut forward = |inputs: &[Tensor]| {
        let level = inputs[0].mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
        vec![level.unsqueeze(1) * 0.0 + &logits]
    };
    let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    CModule::create_by_tracing("Teacher", "forward", &[images], &mut forward)
        .unwrap()
        .save(path)
        .unwrap();
}

/// A training under a teacher who is sure that everything is stripes, and these arguments.
fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["--teacher", "stripes.pt", "--distillation-tau", "2"];
    [&QUICK[..], &fixed, more].concat()
}

fn with_script() -> Home {
    let home = Home::with_photos(8);
    write_script(&home.path("stripes.pt"), &[0.0, 0.0, 8.0]);
    home
}

#[test]
fn what_torchscript_says_counts_more_than_labels_if_asked_to() {
    let home = with_script();
    let run = home.run(&arguments(&[
        "--distillation-alpha",
        "1",
        "--epochs",
        "6",
        "--lr",
        "0.003",
        "--output",
        "run",
    ]));
    succeeded(&run);
    assert!(run.stderr.contains("stripes.pt, TorchScript"), "{}", run.stderr);
    let classified = home.run(&[
        "classify",
        "photos",
        "--weights",
        "run/last.safetensors",
        "--device",
        "cpu",
        "--format",
        "json",
        "--top-k",
        "1",
    ]);
    succeeded(&classified);
    let answers: Vec<Value> = classified
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 24);
    let stripes = answers
        .iter()
        .filter(|answer| answer["predictions"][0]["label"] == "stripes")
        .count();
    assert!(stripes >= 22, "{stripes} of 24");
}

#[test]
fn a_run_teaches_another() {
    let home = Home::with_photos(6);
    succeeded(&home.train(&["--output", "first", "--epochs", "1"]));
    let run = home.train(&["--output", "second", "--teacher", "first"]);
    succeeded(&run);
    assert!(run.stderr.contains("first, b0"), "{}", run.stderr);
    succeeded(&home.train(&["--output", "third"]));
    let loss = |run: &str| home.records(run).last().unwrap()["train_loss"].as_f64().unwrap();
    assert!(loss("second").is_finite());
    assert_ne!(loss("second"), loss("third"));
}

#[test]
fn a_folder_called_none_is_no_teacher() {
    let home = Home::with_photos(6);
    fs::create_dir(home.path("none")).unwrap();
    succeeded(&home.train(&["--output", "run", "--epochs", "1"]));
}

/// Writes a network that drops everything while it is trained, in that mode and in the other.
const FORGETFUL: &str = "
import sys, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(1.0)
    def forward(self, x):
        answers = torch.tensor([0.0, 0.0, 8.0])
        return self.drop(answers.expand(x.shape[0], 3))
net = torch.jit.script(Net())
net.save(sys.argv[1])
net.eval().save(sys.argv[2])
";

#[test]
fn torchscript_written_in_training_mode_teaches_in_the_other() {
    let test = "torchscript_written_in_training_mode_teaches_in_the_other";
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => return skip(test, &reason),
    };
    let home = Home::with_photos(6);
    // TorchScript is made from source, which has to be in a file.
    fs::write(home.path("forgetful.py"), FORGETFUL).unwrap();
    let written = Command::new(python)
        .arg(home.path("forgetful.py"))
        .args([home.path("training.pt"), home.path("evaluating.pt")])
        .output()
        .unwrap();
    assert!(
        written.status.success(),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
    for name in ["training", "evaluating"] {
        let teacher = format!("{name}.pt");
        succeeded(&home.train(&["--output", name, "--teacher", &teacher]));
    }
    assert_eq!(results(&home.path("training")), results(&home.path("evaluating")));
}

#[cfg(unix)]
#[test]
fn a_run_goes_on_with_its_teacher_wherever_that_is_now_and_with_no_other() {
    let home = with_script();
    let everything = ["--mixup", "0.3", "--log-steps", "1", "--batch-size", "4"];
    let with = |output| arguments(&[&everything[..], &["--output", output]].concat());
    succeeded(&home.run(&with("whole")));

    let mut command = home.command(&with("run"));
    let mut child = start(command.stdin(Stdio::null()));
    wait_for_steps(&mut child, &home.path("run/log.jsonl"), 3);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    fs::rename(home.path("stripes.pt"), home.path("moved.pt")).unwrap();
    write_script(&home.path("other.pt"), &[8.0, 0.0, 0.0]);

    let resume = ["train", "--resume", "run", "--device", "cpu", "--threads", "1"];
    refused(&home.run(&resume), &["stripes.pt", "no such file"]);
    let with_teacher = |teacher| [&resume[..], &["--teacher", teacher]].concat();
    let expected = [
        "other.pt: its sha256 is",
        "that of the teacher the run was started with",
    ];
    refused(&home.run(&with_teacher("other.pt")), &expected);
    let none = home.run(&with_teacher("none"));
    refused(
        &none,
        &[
            "--teacher none: the run was started with a teacher",
            "pass its file with --teacher",
        ],
    );
    succeeded(&finish(&mut home.command(&with_teacher("moved.pt"))));
    assert_eq!(results(&home.path("run")), results(&home.path("whole")));
}

#[test]
fn a_teacher_that_cannot_teach_is_refused_before_the_training() {
    let home = with_script();
    let with = |teacher: &str| home.train(&["--output", "run", "--teacher", teacher]);
    refused(&with("nowhere.pt"), &["--teacher nowhere.pt", "no such file"]);
    refused(&with("b0.cifar10"), &["has 10 classes, expected 3"]);
    assert!(!home.path("run").exists());
    write_script(&home.path("five.pt"), &[0.0; 5]);
    refused(&with("five.pt"), &["five.pt", "[2, 5]", "expected logits [2, 3]"]);
    fs::write(home.path("text.pt"), "no network").unwrap();
    refused(&with("text.pt"), &["--teacher ", "text.pt: cannot be used"]);
    refused(
        &home.train(&["--output", "run", "--distillation-alpha", "1.5"]),
        &["--distillation-alpha 1.5", "at least 0 and at most 1"],
    );
}
