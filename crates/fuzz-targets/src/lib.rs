#![doc = include_str!("../README.md")]

#[path = "../../effnet-checkpoint/tests/support/attack.rs"]
mod containers;
#[path = "../../effnet-checkpoint/tests/support/counting.rs"]
mod counting;

mod checkpoints;
mod data;
mod images;
mod index;
mod names;
mod text;

/// A parser of untrusted bytes. Panics where the parser breaks a promise.
pub type Target = fn(&[u8]);

/// All targets by name, in the order of `scripts/fuzz`.
pub const TARGETS: [(&str, Target); 11] = [
    ("checkpoint", checkpoints::checkpoint),
    ("pickle", checkpoints::pickle),
    ("image", images::image),
    ("writers", checkpoints::writers),
    ("names", names::names),
    ("manifest", text::manifest),
    ("labels", text::labels),
    ("toml", text::settings),
    ("csv", data::csv),
    ("tar", data::tar),
    ("index", index::index),
];

/// The target with this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS
        .iter()
        .find_map(|&(known, target)| (known == name).then_some(target))
}
