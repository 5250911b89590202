//! Every combination of what the headers of TIFF, BMP and PNM files can say decodes to Pillow's pixels, or is
//! rejected as unsupported.

mod reference;

use effnet_image::{Alpha, Image, ImageError};
use reference::{Case, Difference, cases, pillow};

/// The number of files that the reference script writes if nothing in it fails; fewer would mean that kinds
/// are no longer covered.
const AT_LEAST: usize = 2200;

fn difference(case: &Case) -> Option<String> {
    let image = match Image::decode(&case.bytes, &case.name) {
        Ok(image) => image,
        Err(error) => return Some(error.to_string()),
    };
    if (image.width(), image.height()) != (case.width, case.height) {
        return Some(format!("{}: {} x {}", case.name, image.width(), image.height()));
    }
    let difference = Difference::between(image.pixels(), &case.rgb);
    (difference != Difference::NONE).then(|| format!("{}: {difference}", case.name))
}

#[test]
fn variants_decode_to_pillows_pixels() {
    let Some(folder) = pillow("variants_decode_to_pillows_pixels", "image_variants.py", &[]) else {
        return;
    };
    let cases = cases(folder.path());
    assert!(cases.len() >= AT_LEAST, "{} files", cases.len());
    let failures: Vec<String> = cases.iter().filter_map(difference).collect();
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn unsupported_variants_are_named() {
    let Some(folder) = pillow("unsupported_variants_are_named", "image_variants.py", &[]) else {
        return;
    };
    let list = std::fs::read_to_string(folder.path().join("unsupported.tsv")).unwrap();
    assert!(list.lines().count() >= 15);
    for line in list.lines() {
        let (name, words) = line.split_once('\t').unwrap();
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let error = Image::decode(&bytes, name).unwrap_err();
        assert!(matches!(error, ImageError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn alpha_of_a_palette_is_composited() {
    // One pixel of index 1 with an alpha of 0, in a palette of two reds.
    let mut tiff = b"II*\0\x0A\0\0\0\x01\0".to_vec();
    let entries: [(u16, u16, u32, u32); 11] = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 3),
        (273, 4, 1, 8),
        (277, 3, 1, 2),
        (278, 3, 1, 1),
        (279, 4, 1, 2),
        (320, 3, 6, 10 + 2 + 11 * 12 + 4),
        (338, 3, 1, 2),
    ];
    tiff.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        tiff.extend(tag.to_le_bytes());
        tiff.extend(kind.to_le_bytes());
        tiff.extend(count.to_le_bytes());
        tiff.extend(value.to_le_bytes());
    }
    tiff.extend([0; 4]);
    for value in [0xFF00_u16, 0x8000, 0, 0, 0, 0] {
        tiff.extend(value.to_le_bytes());
    }
    let decode = |alpha| {
        let options = effnet_image::DecodeOptions::default().with_alpha(alpha);
        Image::decode_with(&tiff, "palette", &options)
            .unwrap()
            .into_pixels()
    };
    assert_eq!(decode(Alpha::Drop), [0x80, 0, 0]);
    assert_eq!(decode(Alpha::FlattenOnWhite), [0xFF; 3]);
}
