//! Damaged images decode to Pillow's pixels, or are rejected if Pillow rejects them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code outside of test functions"
)]

mod reference;

use std::path::Path;

use effnet_image::Image;
use reference::pillow;

/// A damaged file, and how Pillow reads it.
struct Damaged {
    name: String,
    bytes: Vec<u8>,
    /// Width, height and pixels; `None` if Pillow rejects the file.
    expected: Option<(usize, usize, Vec<u8>)>,
    /// Whether the damage is of one known kind, rather than random edits.
    is_mild: bool,
}

fn read(folder: &Path) -> Vec<Damaged> {
    let table = std::fs::read_to_string(folder.join("cases.tsv")).unwrap();
    let case = |line: &str| {
        let [name, width, height, kind] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
        let pixels = std::fs::read(folder.join(format!("{name}.rgb")));
        Damaged {
            name: name.to_owned(),
            bytes: std::fs::read(folder.join(name)).unwrap(),
            expected: pixels.ok().map(|pixels| (width, height, pixels)),
            is_mild: kind == "mild",
        }
    };
    table.lines().map(case).collect()
}

/// Kinds of damage that must not be ignored silently.
const WARNED: [&str; 5] = [
    "premature-end",
    "junk-",
    "restart-lost",
    "wrong-checksum",
    "missing",
];

impl Damaged {
    fn check(&self) -> Result<(), String> {
        let decoded = Image::decode(&self.bytes, &self.name);
        let name = &self.name;
        match (&self.expected, decoded) {
            (Some((width, height, pixels)), Ok(image)) => {
                if (image.width(), image.height()) != (*width, *height) || image.pixels() != pixels {
                    return Err(format!("{name}: different pixels ({:?})", image.warnings()));
                }
                let is_warned = WARNED.iter().any(|kind| name.contains(kind));
                if self.is_mild && is_warned && image.warnings().is_empty() {
                    return Err(format!("{name}: no warning"));
                }
                Ok(())
            }
            (Some(_), Err(error)) => Err(format!("Pillow opens it: {error}")),
            // Whatever follows the pixels of a PNG does not matter here.
            (None, Ok(_)) if !self.is_mild || name.contains("junk-behind") => Ok(()),
            (None, Ok(_)) => Err(format!("{name}: Pillow refuses it")),
            (None, Err(_)) => Ok(()),
        }
    }
}

#[test]
fn damaged_images_are_what_pillow_makes_of_them() {
    let test = "damaged_images_are_what_pillow_makes_of_them";
    let Some(folder) = pillow(test, "image_damage.py", &["800"]) else {
        return;
    };
    let cases = read(folder.path());
    let opened = cases.iter().filter(|case| case.expected.is_some()).count();
    eprintln!("{opened} of {} damaged files open in Pillow", cases.len());
    assert!(opened > cases.len() / 2);
    let failures: Vec<String> = cases.iter().filter_map(|case| case.check().err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
