//! The maps as they were computed, for programs: a NumPy array, or JSON that also says what they cover.

use effnet::{Area, ClassMap, Explanation, Prediction};
use effnet_image::Region;
use serde::Serialize;

use crate::arguments::RawFormat;
use crate::sink::SCHEMA;

/// What `--raw json` writes.
#[derive(Serialize)]
struct Raw<'a> {
    schema: u32,
    input: &'a str,
    method: &'a str,
    /// Width and height of the image in pixels, after EXIF orientation.
    image_size: [usize; 2],
    region: Area,
    predictions: &'a [Prediction],
    /// One map per prediction: rows of values.
    maps: Vec<Vec<&'a [f32]>>,
}

/// Returns the content of the raw file of an image.
pub(super) fn content(
    format: RawFormat,
    (input, method): (&str, &str),
    (image_size, region): ([usize; 2], Region),
    explanation: &Explanation,
) -> anyhow::Result<Vec<u8>> {
    match format {
        RawFormat::Npy => Ok(npy(explanation)),
        RawFormat::Json => {
            let maps = explanation.maps.iter();
            let mut text = serde_json::to_vec(&Raw {
                schema: SCHEMA,
                input,
                method,
                image_size,
                region: region.into(),
                predictions: &explanation.predictions,
                maps: maps
                    .map(|map| map.values().chunks(map.width()).collect())
                    .collect(),
            })?;
            text.push(b'\n');
            Ok(text)
        }
    }
}

/// Encodes the maps as a NumPy file, version 1.0: `[classes, rows, columns]`, little-endian floats.
fn npy(explanation: &Explanation) -> Vec<u8> {
    const START: usize = 10;
    let maps = &explanation.maps;
    let (rows, columns) = maps.first().map_or((0, 0), |map| (map.height(), map.width()));
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {rows}, {columns}), }}",
        maps.len()
    );
    // The values start at a multiple of 64 bytes, and the header ends with a line break.
    let end = (START + header.len() + 1).next_multiple_of(64);
    while START + header.len() + 1 < end {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    for value in maps.iter().flat_map(ClassMap::values) {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}
