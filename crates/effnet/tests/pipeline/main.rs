//! Tests of the pipeline with backends that are not networks and images that are not files.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

mod beside;
mod memory;
mod stopping;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use effnet::{
    Backend, BackendError, BoxError, DecodeFailure, Engine, EngineOptions, Images, MemoryNeed, Output,
    Parameters, Pending, Pipeline, Precision, Reader, Rows, Source, Variant,
};
use effnet_image::{EvalTransform, Image, ImageError};

/// A numbered image of a single grey value, or one that fails.
#[derive(Debug)]
pub(crate) enum TestImage {
    Grey(u8),
    Damaged(u8),
    Panicking(u8),
}

impl TestImage {
    fn number(&self) -> u8 {
        let (Self::Grey(number) | Self::Damaged(number) | Self::Panicking(number)) = *self;
        number
    }
}

impl Source for TestImage {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        match *self {
            // Sizes differ, so that images do not finish in the order in which they start.
            Self::Grey(grey) => Ok(Cow::Owned(solid(grey, 10 + usize::from(grey) * 977 % 400)?)),
            Self::Damaged(number) => Err(format!("image {number} is damaged").into()),
            Self::Panicking(number) => panic!("image {number} is out of bounds"),
        }
    }
}

pub(crate) fn solid(grey: u8, side: usize) -> Result<Image, ImageError> {
    Image::from_rgb8(side, side, vec![grey; side * side * 3])
}

/// A transform that keeps the pixel values.
pub(crate) fn transform() -> EvalTransform {
    EvalTransform::new(8)
        .with_crop_pct(1.0)
        .with_mean([0.0; 3])
        .with_std([1.0 / 255.0; 3])
}

/// The grey value of each image, as `[N, 1]`.
pub(crate) fn greys(images: Images<'_>) -> Rows {
    let [count, channels, height, width] = images.shape();
    assert_eq!([channels, height, width], [3, 8, 8]);
    let mean = |image: &[f32]| (image.iter().sum::<f32>() / image.len() as f32).round();
    let means = images.pixels().chunks_exact(3 * 8 * 8).map(mean).collect();
    Rows::new(means, count).unwrap()
}

/// A backend that calls a function.
pub(crate) struct Call<F>(pub(crate) F);

impl<F: Fn(Images<'_>) -> Result<Rows, BackendError> + Send + Sync + 'static> Backend for Call<F> {
    fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
        (self.0)(images).map(Pending::done)
    }

    fn engine(&self) -> &'static str {
        "a function"
    }

    fn kernels(&self) -> String {
        "none".to_owned()
    }

    fn precision(&self) -> Precision {
        Precision::Fp32
    }

    fn memory_need(&self, _: [usize; 2]) -> Result<MemoryNeed, BackendError> {
        unreachable!("the batch size is given")
    }
}

pub(crate) fn pipeline<T: Source>(
    inputs: Vec<T>,
    batch_size: usize,
    run: impl Fn(Images<'_>) -> Result<Rows, BackendError> + Send + Sync + 'static,
) -> Pipeline<T> {
    let reader = Reader::start(inputs, transform(), 3, Arc::default()).unwrap();
    Pipeline::new(reader, Call(run), batch_size).unwrap()
}

fn assert_grey(output: &Output<TestImage>) {
    let number = output.input.number();
    assert_eq!(output.result.as_deref().unwrap(), [f32::from(number)]);
}

#[test]
fn results_come_in_the_order_of_the_inputs_and_belong_to_them() {
    let inputs = (0..100).map(TestImage::Grey).collect();
    let outputs: Vec<_> = pipeline(inputs, 7, |images| Ok(greys(images)))
        .collect::<Result<_, _>>()
        .unwrap();
    let numbers: Vec<u8> = outputs.iter().map(|output| output.input.number()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
    outputs.iter().for_each(assert_grey);
}

#[test]
fn batches_are_full_but_for_the_last() {
    let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let run = move |images: Images<'_>| {
        seen.lock().unwrap().push(images.count());
        Ok(greys(images))
    };
    assert_eq!(
        pipeline((0..17).map(TestImage::Grey).collect(), 5, run).count(),
        17
    );
    assert_eq!(*sizes.lock().unwrap(), [5, 5, 5, 2]);
}

#[test]
fn a_damaged_image_and_one_that_the_decoder_panics_on_fail_alone() {
    let inputs = (0..20)
        .map(|number| match number {
            // Among them is a whole batch of damaged images.
            3 | 10 | 11 | 12 | 13 => TestImage::Damaged(number),
            14 => TestImage::Panicking(number),
            _ => TestImage::Grey(number),
        })
        .collect();
    let outputs: Vec<_> = pipeline(inputs, 4, |images| Ok(greys(images)))
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(outputs.len(), 20);
    for (position, output) in outputs.iter().enumerate() {
        assert_eq!(usize::from(output.input.number()), position);
        match output.input {
            TestImage::Grey(_) => assert_grey(output),
            TestImage::Damaged(number) => {
                let error = output.result.as_ref().unwrap_err();
                assert_eq!(error.to_string(), format!("image {number} is damaged"));
            }
            TestImage::Panicking(_) => {
                let error = output.result.as_ref().unwrap_err();
                assert!(matches!(error, DecodeFailure::Panicked(_)));
                assert!(error.to_string().contains("image 14 is out of bounds"), "{error}");
            }
        }
    }
}

#[test]
fn no_inputs_give_no_results_and_no_call() {
    let run = |_: Images<'_>| -> Result<Rows, BackendError> { unreachable!("an empty batch") };
    assert!(pipeline(Vec::<TestImage>::new(), 4, run).next().is_none());
    let damaged = (0..6).map(TestImage::Damaged).collect();
    assert!(pipeline(damaged, 4, run).all(|output| output.unwrap().result.is_err()));
}

#[test]
fn another_error_ends_it_after_the_results_before() {
    let calls = AtomicUsize::new(0);
    let run = move |images: Images<'_>| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(greys(images)),
        _ => Err(BackendError::Device("it is gone".to_owned())),
    };
    let mut pipeline = pipeline((0..50).map(TestImage::Grey).collect(), 4, run);
    for _ in 0..4 {
        assert_grey(&pipeline.next().unwrap().unwrap());
    }
    assert!(matches!(pipeline.next(), Some(Err(BackendError::Device(_)))));
    assert!(pipeline.next().is_none());
}

#[test]
fn a_runner_that_loses_a_row_is_found_out() {
    let run = |images: Images<'_>| Rows::new(greys(images).values()[1..].to_vec(), 3);
    let error = pipeline((0..4).map(TestImage::Grey).collect(), 4, run)
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, BackendError::Rows { images: 4, .. }), "{error}");
}

#[test]
#[should_panic(expected = "the runner has a bug")]
fn a_panic_of_the_runner_is_not_taken_for_the_end() {
    let run = |_: Images<'_>| -> Result<Rows, BackendError> { panic!("the runner has a bug") };
    let _ = pipeline((0..4).map(TestImage::Grey).collect(), 2, run).count();
}

#[test]
fn an_engine_gives_each_file_the_logits_that_it_gives_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let photos: Vec<PathBuf> = (0..5)
        .map(|index| {
            let path = folder.path().join(format!("{index}.bmp"));
            std::fs::write(&path, bitmap(40 + index, 30)).unwrap();
            path
        })
        .collect();
    let parameters = Parameters::random(&Variant::B0.config().with_num_classes(7), 0).unwrap();
    let engine = || Engine::new(&parameters, EngineOptions::default()).unwrap();
    let transform = EvalTransform::new(64).with_crop_pct(0.875);

    let alone = engine();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = Reader::start(photos.clone(), transform, 2, stop).unwrap();
    let outputs: Vec<_> = Pipeline::new(reader, engine(), 3).unwrap().collect();
    assert_eq!(outputs.len(), photos.len());
    for (output, photo) in outputs.into_iter().zip(photos) {
        let output = output.unwrap();
        assert_eq!(output.input, photo);
        let pixels = transform.apply(&Image::open(&photo).unwrap()).unwrap();
        let logits = alone.run(Images::new(&pixels, [1, 3, 64, 64]).unwrap()).unwrap();
        assert_eq!(output.result.unwrap(), logits.values());
    }
}

/// A 24-bit BMP whose pixels depend on its width.
fn bitmap(width: u32, height: u32) -> Vec<u8> {
    let row = (width * 3).next_multiple_of(4);
    let mut file = b"BM".to_vec();
    for word in [54 + row * height, 0, 54, 40, width, height] {
        file.extend(word.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    file.extend((0..row * height).map(|index| (index * width / 7) as u8));
    file
}
