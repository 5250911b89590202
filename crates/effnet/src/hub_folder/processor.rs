//! `preprocessor_config.json` of transformers' folders: the settings of an `EfficientNetImageProcessor`.
//!
//! A missing setting has the default of the class, not that of the network: 346 pixels, and a second division by the
//! standard deviation (`include_top`), which makes the published folders state its square root.

use std::path::Path;

use effnet_architecture::{CropMode, Interpolation, Preprocessing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HubFolderError, fraction, read_object, shown};

const ADVICE: &str = "pass a folder with an image processor that resizes, crops, rescales and normalises";

#[derive(Debug, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "these are the settings of the file")]
struct Processor {
    do_resize: bool,
    size: Value,
    resample: Value,
    do_center_crop: bool,
    crop_size: Value,
    do_rescale: bool,
    rescale_factor: f64,
    rescale_offset: bool,
    do_normalize: bool,
    image_mean: [f64; 3],
    image_std: [f64; 3],
    include_top: bool,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            do_resize: true,
            size: json!({"height": 346, "width": 346}),
            resample: json!(3),
            do_center_crop: false,
            crop_size: json!({"height": 289, "width": 289}),
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            rescale_offset: false,
            do_normalize: true,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
            include_top: true,
        }
    }
}

/// Reads the preprocessing that a folder states; `None` if it has no image processor.
pub(super) fn read(folder: &Path) -> Result<Option<Preprocessing>, HubFolderError> {
    let path = folder.join("preprocessor_config.json");
    let Some(stated) = read_object(&path)? else {
        return Ok(None);
    };
    let unsupported = |key, found: &Value, expected: &str| HubFolderError::Unsupported {
        path: path.clone(),
        key,
        found: shown(found),
        expected: expected.to_owned(),
        advice: ADVICE,
    };
    for key in ["image_processor_type", "feature_extractor_type"] {
        if let Some(kind) = stated.get(key).filter(|kind| !kind.is_null())
            && !kind
                .as_str()
                .is_some_and(|kind| kind.starts_with("EfficientNetImageProcessor"))
        {
            return Err(unsupported(
                "image_processor_type",
                kind,
                "EfficientNetImageProcessor",
            ));
        }
    }
    // A null has the default of the class.
    let stated = stated.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let processor: Processor =
        serde_json::from_value(Value::Object(stated)).map_err(|error| HubFolderError::Invalid {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    if !processor.do_resize {
        return Err(unsupported("do_resize", &json!(false), "true"));
    }
    let interpolation = match processor.resample.as_u64() {
        Some(0) => Interpolation::Nearest,
        Some(2) => Interpolation::Bilinear,
        Some(3) => Interpolation::Bicubic,
        _ => {
            return Err(unsupported(
                "resample",
                &processor.resample,
                "0 (nearest), 2 (bilinear) or 3 (bicubic)",
            ));
        }
    };
    let crop = processor.do_center_crop.then_some(&processor.crop_size);
    let frame = Frame::of(&processor.size, crop).map_err(|wrong| match wrong {
        Wrong::Size => unsupported(
            "size",
            &processor.size,
            "a square, or a shortest edge with a center crop",
        ),
        Wrong::Crop => unsupported(
            "crop_size",
            &processor.crop_size,
            "a square no larger than `size`",
        ),
    })?;
    let (mean, std) = processor.normalisation();
    if !mean.iter().chain(&std).all(|value| value.is_finite()) || std.iter().any(|value| *value <= 0.0) {
        return Err(unsupported(
            "image_std",
            &json!(processor.image_std),
            "numbers above 0",
        ));
    }
    Ok(Some(Preprocessing {
        image_size: frame.image_size,
        crop_pct: frame.crop_pct,
        resize_size: frame.resize_size,
        crop_mode: frame.crop_mode,
        interpolation,
        mean,
        std,
    }))
}

impl Processor {
    /// Mean and standard deviation for values in `[0, 1]` with which `(x - mean) / std` is all that the processor does
    /// to a pixel.
    fn normalisation(&self) -> ([f64; 3], [f64; 3]) {
        let factor = if self.do_rescale {
            255.0 * self.rescale_factor
        } else {
            255.0
        };
        let offset = if self.do_rescale && self.rescale_offset {
            1.0
        } else {
            0.0
        };
        let mean = if self.do_normalize {
            self.image_mean
        } else {
            [0.0; 3]
        };
        let once = if self.do_normalize {
            self.image_std
        } else {
            [1.0; 3]
        };
        let again = if self.include_top {
            self.image_std
        } else {
            [1.0; 3]
        };
        let std = [0, 1, 2].map(|channel| once[channel] * again[channel] / factor);
        (mean.map(|mean| (mean + offset) / factor), std)
    }
}

enum Wrong {
    Size,
    Crop,
}

/// How an image becomes a square.
struct Frame {
    image_size: usize,
    crop_pct: Option<f64>,
    resize_size: Option<usize>,
    crop_mode: CropMode,
}

impl Frame {
    fn of(size: &Value, crop: Option<&Value>) -> Result<Self, Wrong> {
        let resized = square(size);
        let cropped = crop.map(|crop| square(crop).ok_or(Wrong::Crop)).transpose()?;
        if let Some(resized) = resized {
            let image_size = cropped.unwrap_or(resized);
            if image_size > resized {
                return Err(Wrong::Crop);
            }
            return Ok(Self {
                image_size,
                crop_pct: Some(fraction(image_size, resized)),
                resize_size: None,
                crop_mode: CropMode::Squash,
            });
        }
        let shortest = size.get("shortest_edge").and_then(pixels).ok_or(Wrong::Size)?;
        if size.as_object().is_some_and(|size| size.len() > 1) {
            return Err(Wrong::Size);
        }
        let image_size = cropped.ok_or(Wrong::Size)?;
        if image_size > shortest {
            return Err(Wrong::Crop);
        }
        Ok(Self {
            image_size,
            crop_pct: None,
            resize_size: Some(shortest),
            crop_mode: CropMode::Center,
        })
    }
}

/// The side of a square size: a number, or equal `height` and `width`.
fn square(size: &Value) -> Option<usize> {
    let (height, width) = (size.get("height"), size.get("width"));
    match (height, width) {
        (Some(height), Some(width)) if height == width => pixels(height),
        _ => pixels(size),
    }
}

fn pixels(size: &Value) -> Option<usize> {
    let size = usize::try_from(size.as_u64()?).ok()?;
    (1..=8192).contains(&size).then_some(size)
}

/// Returns the settings with which transformers preprocesses in the same way.
pub(super) fn write(preprocessing: &Preprocessing) -> Value {
    let side = preprocessing.image_size;
    let resized = preprocessing.resize_to();
    let square = |side: usize| json!({"height": side, "width": side});
    let size = match preprocessing.crop_mode {
        CropMode::Center => json!({"shortest_edge": resized}),
        CropMode::Squash => square(resized),
    };
    let resample = match preprocessing.interpolation {
        Interpolation::Nearest => 0,
        Interpolation::Bilinear => 2,
        Interpolation::Bicubic => 3,
    };
    json!({
        "image_processor_type": "EfficientNetImageProcessor",
        "do_resize": true,
        "size": size,
        "resample": resample,
        "do_center_crop": preprocessing.crop_mode == CropMode::Center || side != resized,
        "crop_size": square(side),
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "rescale_offset": false,
        "do_normalize": true,
        "image_mean": preprocessing.mean,
        "image_std": preprocessing.std,
        "include_top": false,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_value(value: &Value) -> Result<Preprocessing, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("preprocessor_config.json"), value.to_string()).unwrap();
        read(folder.path())
            .map(Option::unwrap)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (crop_mode, crop_pct, resize_size) in [
            (CropMode::Center, None, Some(256)),
            (CropMode::Squash, Some(1.0), None),
            (CropMode::Squash, Some(0.875), None),
        ] {
            let preprocessing = Preprocessing {
                image_size: 224,
                crop_pct,
                resize_size,
                crop_mode,
                interpolation: Interpolation::Bilinear,
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
            };
            assert_eq!(read_value(&write(&preprocessing)), Ok(preprocessing));
        }
    }

    /// The settings of google/efficientnet-b0.
    #[test]
    fn a_second_division_squares_the_deviation() {
        let read = read_value(&json!({
            "crop_size": {"height": 289, "width": 289}, "do_center_crop": false, "do_normalize": true,
            "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
            "image_processor_type": "EfficientNetImageProcessor",
            "image_std": [0.478_539_44, 0.473_286_4, 0.474_341_63], "include_top": true, "resample": 0,
            "rescale_factor": 1.0 / 255.0, "rescale_offset": false, "size": {"height": 224, "width": 224}
        }))
        .unwrap();
        for (found, expected) in read.std.iter().zip([0.229, 0.224, 0.225]) {
            assert!((found - expected).abs() < 1e-7, "{found}");
        }
        let frame = (
            read.image_size,
            read.resize_to(),
            read.crop_mode,
            read.interpolation,
        );
        assert_eq!(frame, (224, 224, CropMode::Squash, Interpolation::Nearest));
    }

    #[test]
    fn an_offset_shifts_the_mean() {
        let read = read_value(&json!({
            "rescale_factor": 1.0 / 127.5, "rescale_offset": true, "do_normalize": false, "include_top": false
        }))
        .unwrap();
        assert_eq!((read.mean, read.std), ([0.5; 3], [0.5; 3]));
    }

    #[test]
    fn what_cannot_be_represented_is_refused() {
        for (settings, words) in [
            (json!({"do_resize": false}), "`do_resize` is false, expected true"),
            (json!({"resample": 1}), "`resample` is 1"),
            (json!({"size": {"height": 224, "width": 225}}), "`size`"),
            (json!({"size": {"shortest_edge": 224}}), "`size`"),
            (
                json!({"size": {"shortest_edge": 224, "longest_edge": 300}, "do_center_crop": true}),
                "`size`",
            ),
            (json!({"size": 224, "do_center_crop": true}), "`crop_size`"),
            (json!({"image_std": [0.5, 0.0, 0.5]}), "`image_std`"),
            (json!({"image_mean": [0.5]}), "cannot be read"),
            (
                json!({"image_processor_type": "ViTImageProcessor"}),
                "`image_processor_type`",
            ),
        ] {
            let error = read_value(&settings).unwrap_err();
            assert!(error.contains(words), "{settings}: {error}");
        }
    }
}
