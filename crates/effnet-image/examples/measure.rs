//! Benchmarks the decoding and resizing of a folder of JPEG images on one thread, compared with other crates.
//!
//! `cargo run --release -p effnet-image --example measure -- FOLDER [ROUNDS]`; for Pillow:
//! `scripts/reference/image_speed.py FOLDER [ROUNDS]`. Reports the best round.

#![allow(clippy::print_stdout, reason = "a program that prints its results")]

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use effnet_image::{EvalTransform, Image, Interpolation};
use fast_image_resize as fir;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: measure FOLDER [ROUNDS]")?;
    let rounds = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;

    let mut paths = Vec::new();
    collect(Path::new(&folder), &mut paths)?;
    paths.sort();
    let files = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
    let images = files
        .iter()
        .map(|bytes| Image::decode(bytes, "photo"))
        .collect::<Result<Vec<_>, _>>()?;
    let pixels: usize = images.iter().map(|image| image.width() * image.height()).sum();
    println!(
        "{} images, {} pixels on average",
        files.len(),
        pixels / files.len()
    );

    let transform = EvalTransform::new(224).with_crop_pct(0.875);
    let time = |name: &str, step: &dyn Fn(usize) -> Outcome<()>| -> Outcome<()> {
        let best = best_of(rounds, files.len(), step)?;
        println!("{name:34} {:7.3} ms per image", best.as_secs_f64() * 1e3);
        Ok(())
    };
    time("decode", &|n| {
        black_box(Image::decode(&files[n], "photo")?);
        Ok(())
    })?;
    time("decode, zune-jpeg", &|n| zune(&files[n]))?;
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        time(&format!("resize to 341 x 256, {interpolation:?}"), &|n| {
            black_box(images[n].resize(341, 256, interpolation)?);
            Ok(())
        })?;
        time("  fast_image_resize", &|n| {
            black_box(fast_image_resize(&images[n], 341, 256, interpolation)?);
            Ok(())
        })?;
    }
    time("resize and crop for B0", &|n| {
        black_box(transform.crop(&images[n])?);
        Ok(())
    })?;
    time("bytes to B0's input", &|n| {
        black_box(transform.apply(&Image::decode(&files[n], "photo")?)?);
        Ok(())
    })?;

    differences(&images)
}

/// Prints how much `fast_image_resize` differs from Pillow's resize.
fn differences(images: &[Image]) -> Outcome<()> {
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        let (mut largest, mut worst_mean) = (0, 0.0_f64);
        for image in images {
            let exact = image.resize(341, 256, interpolation)?;
            let other = fast_image_resize(image, 341, 256, interpolation)?;
            let pairs = exact.pixels().iter().zip(&other);
            let differences = pairs.map(|(a, b)| u32::from(a.abs_diff(*b)));
            largest = largest.max(differences.clone().max().unwrap_or(0));
            worst_mean = worst_mean.max(f64::from(differences.sum::<u32>()) / other.len() as f64);
        }
        println!("fast_image_resize {interpolation:?}: max {largest}, worst mean {worst_mean:.4}");
    }
    Ok(())
}

fn best_of(rounds: usize, count: usize, step: &dyn Fn(usize) -> Outcome<()>) -> Outcome<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for number in 0..count {
            step(number)?;
        }
        best = best.min(start.elapsed());
    }
    Ok(best / u32::try_from(count)?)
}

fn zune(bytes: &[u8]) -> Outcome<()> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    black_box(decoder.decode()?);
    Ok(())
}

fn fast_image_resize(
    image: &Image,
    width: u32,
    height: u32,
    interpolation: Interpolation,
) -> Outcome<Vec<u8>> {
    let algorithm = match interpolation {
        Interpolation::Bilinear => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
        Interpolation::Bicubic => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
        Interpolation::Nearest => fir::ResizeAlg::Nearest,
    };
    let options = fir::ResizeOptions::new().resize_alg(algorithm);
    let source = fir::images::ImageRef::new(
        u32::try_from(image.width())?,
        u32::try_from(image.height())?,
        image.pixels(),
        fir::PixelType::U8x3,
    )?;
    let mut target = fir::images::Image::new(width, height, fir::PixelType::U8x3);
    fir::Resizer::new().resize(&source, &mut target, &options)?;
    Ok(target.into_vec())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default();
        if path.is_dir() {
            collect(&path, paths)?;
        } else if extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg") {
            paths.push(path);
        }
    }
    Ok(())
}
