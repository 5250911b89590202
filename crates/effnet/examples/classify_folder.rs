//! Classifies the images of a folder: `cargo run --release -p effnet --example classify_folder -- FOLDER [WEIGHTS]`.
#![allow(clippy::print_stdout)]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: classify_folder FOLDER [WEIGHTS]")?;
    let model = effnet::Model::open(arguments.next().as_deref().unwrap_or("b0.cifar10"))?;
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    for outcome in model.classify_all(files.collect::<std::io::Result<Vec<_>>>()?, 1)? {
        match outcome? {
            (path, Ok(classes)) => println!("{}: {}", path.display(), classes[0].label),
            (_, Err(error)) => println!("{error}"),
        }
    }
    Ok(())
}
