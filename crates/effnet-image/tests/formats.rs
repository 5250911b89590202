//! Every kind of image decodes to Pillow's pixels.

mod reference;

use effnet_image::Alpha;
use reference::{Case, Difference, cases, fixtures, pillow};

fn check(cases: &[Case]) {
    let mut failures = Vec::new();
    for case in cases {
        let mut compare = |alpha: Alpha, expected: &[u8]| {
            let image = case.decode(alpha);
            assert_eq!(
                (image.width(), image.height()),
                (case.width, case.height),
                "{}",
                case.name
            );
            let difference = Difference::between(image.pixels(), expected);
            if difference != Difference::NONE {
                failures.push(format!("{} ({alpha:?}): {difference}", case.name));
            }
        };
        compare(Alpha::Drop, &case.rgb);
        if let Some(over_white) = &case.over_white {
            compare(Alpha::FlattenOnWhite, over_white);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn committed_images_decode_to_pillows_pixels() {
    check(&fixtures());
}

#[test]
fn fresh_images_decode_to_pillows_pixels() {
    let test = "fresh_images_decode_to_pillows_pixels";
    for size in [["61", "43"], ["32", "48"], ["3", "2"], ["130", "9"]] {
        let Some(folder) = pillow(test, "image_formats.py", &size) else {
            return;
        };
        check(&cases(folder.path()));
    }
}
