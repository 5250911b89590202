//! Compresses the fonts for plots, so that they take half the space in the program.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "plots")]
    fonts::compress()?;
    Ok(())
}

#[cfg(feature = "plots")]
mod fonts {
    use std::io::Write as _;
    use std::path::Path;
    use std::{env, fs};

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    pub(super) fn compress() -> Result<(), Box<dyn std::error::Error>> {
        let folder = env::var("OUT_DIR")?;
        for (name, font) in [
            ("sans", dejavu::sans::regular()),
            ("sans-bold", dejavu::sans::bold()),
        ] {
            let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
            packed.write_all(font)?;
            let file = Path::new(&folder).join(name).with_extension("deflate");
            fs::write(file, packed.finish()?)?;
        }
        Ok(())
    }
}
