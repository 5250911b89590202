//! Weights by id: what Python has put on this machine is used, unless it is damaged.

use super::home::Home;
use super::{json, logits, manifest, random_b0, refused, says, succeeded, text, write_image};

const NAME: &str = "efficientnet-b0-0a1b2c3d.pth";
const FORMER: &str = "efficientnet_b0_somebody-0a1b2c3d.pth";
/// Nothing listens there, so that a download would fail.
const CLOSED: &str = "http://127.0.0.1:9/efficientnet-b0-0a1b2c3d.pth";

/// A home with a manifest of `b0.mine`, the file that it is for as `weights.pth`, and an image.
fn published() -> Home {
    let home = Home::new();
    random_b0(&home.join("random.safetensors"), 1000);
    succeeded(&home.run(&["convert", "random.safetensors", "weights.pth"]));
    let bytes = std::fs::read(home.join("weights.pth")).unwrap();
    let entry = manifest::entry("b0.mine", NAME, &[FORMER], CLOSED, &bytes);
    manifest::write(&home.join("mine.json"), &[entry]);
    write_image(&home.join("image.png"));
    home
}

const CLASSIFY: [&str; 6] = [
    "classify",
    "image.png",
    "--manifest",
    "mine.json",
    "--format",
    "json",
];

#[test]
fn a_file_in_pytorchs_cache_is_used_under_its_current_and_its_former_name() {
    let home = published();
    let all = [&CLASSIFY[..], &["--top-k", "0"]].concat();
    let by_path = logits(&home.run(&[&all[..], &["--weights", "weights.pth"]].concat()));
    for name in [NAME, FORMER] {
        let place = home.checkpoints().join(name);
        std::fs::copy(home.join("weights.pth"), &place).unwrap();
        for offline in [&[][..], &["--offline"]] {
            let run = home.run(&[&all[..], &["--model", "b0.mine"], offline].concat());
            assert_eq!(json(&run)["weights"], "b0.mine");
            assert_eq!(logits(&run), by_path);
            assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        }
        // Used where it is, not copied.
        let cached = home.cache().join(name);
        assert!(!cached.exists(), "{}", cached.display());
        std::fs::remove_file(place).unwrap();
    }
}

#[test]
fn the_variant_and_the_tag_may_come_apart() {
    let home = published();
    std::fs::copy(home.join("weights.pth"), home.checkpoints().join(NAME)).unwrap();
    let apart = ["--model", "b0", "--weights", "mine"];
    let run = home.run(&[&CLASSIFY[..], &apart].concat());
    assert_eq!(json(&run)["weights"], "b0.mine");
}

#[test]
fn a_damaged_file_is_named_and_not_used() {
    let home = published();
    let place = home.checkpoints().join(NAME);
    let mut bytes = std::fs::read(home.join("weights.pth")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&place, &bytes).unwrap();
    let expected = manifest::digest(&std::fs::read(home.join("weights.pth")).unwrap());
    let found = manifest::digest(&bytes);

    let ask = [&CLASSIFY[..], &["--model", "b0.mine", "--offline"]].concat();
    let run = home.run(&ask);
    refused(&run, &[text(&place), "ignoring", &expected, &found, "b0.mine"]);
    assert_eq!(run.stdout, "");
    // It is PyTorch's file: effnet leaves it alone.
    assert!(std::fs::read(&place).unwrap() == bytes);

    // A right copy under the former name is as good as ever.
    std::fs::copy(home.join("weights.pth"), home.checkpoints().join(FORMER)).unwrap();
    let run = home.run(&ask);
    succeeded(&run);
    says(&run, &["warning", text(&place), "ignoring"]);
}

#[test]
fn offline_says_which_file_to_put_where() {
    let home = published();
    let run = home.run(&[&CLASSIFY[..], &["--model", "b0.mine", "--offline"]].concat());
    refused(&run, &["b0.mine", NAME, CLOSED, text(&home.cache())]);
    let run = home
        .command(&[&CLASSIFY[..], &["--model", "b0.mine"]].concat())
        .env("EFFNET_OFFLINE", "1")
        .output()
        .unwrap();
    refused(&run.into(), &["b0.mine", NAME]);
}

#[test]
fn inspect_and_convert_take_ids_too() {
    let home = published();
    std::fs::copy(home.join("weights.pth"), home.checkpoints().join(NAME)).unwrap();
    let mine = ["--manifest", "mine.json", "--offline"];
    let inspected = json(&home.run(&[&["inspect", "b0.mine", "--format", "json"], &mine[..]].concat()));
    assert_eq!(inspected["variant"], "b0");
    succeeded(&home.run(&[&["convert", "b0.mine", "out.safetensors"], &mine[..]].concat()));
    let metadata = &json(&home.run(&["inspect", "out.safetensors", "--format", "json"]))["metadata"];
    // What the manifest knows about the weights travels with them.
    for fact in ["profile", "crop_pct", "interpolation", "mean"] {
        let keys: Vec<_> = metadata.as_object().unwrap().keys().collect();
        assert!(keys.iter().any(|key| key.contains(fact)), "{fact}: {keys:?}");
    }
}
