//! Writes the results of `similar` in the formats of `--format`.

use std::io::Write as _;
use std::path::Path;

use anyhow::ensure;
use effnet::{ModelFile, Neighbor, Source as _};
use effnet_data::{Sample, contact_sheet_png};
use effnet_image::{Image, Interpolation};
use serde::Serialize;

use super::source::Source;
use crate::arguments::SimilarFormat;
use crate::escape;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::input::Input;
use crate::missing_inputs::FailureRecords;
use crate::records::Record;
use crate::sink::{SCHEMA, Sink};

/// The largest number of images on a contact sheet: 0.3 GB of pixels.
const MOST_TILES: usize = 2000;
/// The side of an image on a contact sheet.
const SIDE: usize = 192;

/// The images that are similar to one query, which is one line of JSON.
#[derive(Serialize)]
struct Found<'a> {
    schema: u32,
    input: &'a str,
    model: &'a str,
    weights: &'a str,
    neighbors: Vec<NeighborRecord>,
}

#[derive(Serialize)]
struct NeighborRecord {
    input: String,
    similarity: f32,
}

/// Returns the header and separator of a format.
fn frame(format: SimilarFormat) -> Frame {
    match format {
        SimilarFormat::Text => Frame {
            header: Vec::new(),
            separator: "\n",
        },
        SimilarFormat::Json | SimilarFormat::Png => Frame::default(),
        SimilarFormat::Csv => Frame {
            header: b"query,rank,input,similarity,error\n".to_vec(),
            separator: "",
        },
    }
}

/// Refuses a contact sheet that is too large, before anything is computed.
pub(super) fn check_sheet(queries: usize, top_k: usize) -> anyhow::Result<()> {
    let tiles = queries.saturating_mul(top_k.saturating_add(1));
    ensure!(
        tiles <= MOST_TILES && top_k < 100 && queries <= 100,
        "--format png: a contact sheet of {queries} x {} images is too large, expected at most 100 queries with up to \
         99 images each and {MOST_TILES} images in all: pass fewer queries or a smaller --top-k",
        top_k.saturating_add(1)
    );
    Ok(())
}

/// Writes one record per query.
pub(super) struct Report {
    format: SimilarFormat,
    pub(super) sink: Sink,
    /// The images of a contact sheet so far.
    tiles: Vec<Sample>,
    /// The number of images in a row of a contact sheet.
    columns: usize,
}

impl Report {
    /// Opens standard output or this file, for up to `top_k` neighbours per query.
    pub(super) fn open(output: Option<&Path>, format: SimilarFormat, top_k: usize) -> anyhow::Result<Self> {
        Ok(Self {
            format,
            sink: Sink::open(output, &frame(format))?,
            tiles: Vec::new(),
            columns: top_k + 1,
        })
    }

    /// Writes the neighbours of a query.
    pub(super) fn found(
        &mut self,
        query: &Input,
        found: &[Neighbor],
        source: &Source,
        file: &ModelFile,
    ) -> anyhow::Result<()> {
        let index = source.ready()?;
        let named = |found: &Neighbor| NeighborRecord {
            input: source.path_of(index.name(found.row)).display().to_string(),
            similarity: found.similarity,
        };
        let neighbors: Vec<NeighborRecord> = found.iter().map(named).collect();
        match self.format {
            SimilarFormat::Text => self.write_text(&query.name, &neighbors)?,
            SimilarFormat::Json => self.sink.json(&Found {
                schema: SCHEMA,
                input: &query.name,
                model: file.variant.name(),
                weights: &file.weights().name,
                neighbors,
            })?,
            SimilarFormat::Csv => self.write_csv(&query.name, &neighbors)?,
            SimilarFormat::Png => {
                let image = query.image().ok();
                self.add_tiles(&query.name, image.as_deref(), &neighbors);
            }
        }
        self.sink.end_input(true)
    }

    /// Writes the contact sheet, if that is the format.
    pub(super) fn complete(&mut self) -> anyhow::Result<()> {
        if self.format == SimilarFormat::Png {
            let png = contact_sheet_png("Query and most similar images", self.columns, &self.tiles)?;
            self.sink.write_all(&png)?;
        }
        Ok(())
    }

    fn write_text(&mut self, query: &str, neighbors: &[NeighborRecord]) -> std::io::Result<()> {
        let bold = self.sink.heading();
        self.sink.separate()?;
        writeln!(self.sink, "{bold}{}{bold:#}", escape::line(query))?;
        for found in neighbors {
            let name = escape::line(&found.input);
            writeln!(self.sink, "  {:7.4}  {name}", found.similarity)?;
        }
        Ok(())
    }

    fn write_csv(&mut self, query: &str, neighbors: &[NeighborRecord]) -> std::io::Result<()> {
        for (rank, found) in neighbors.iter().enumerate() {
            let (rank, similarity) = ((rank + 1).to_string(), found.similarity.to_string());
            self.sink.csv([query, &rank, &found.input, &similarity, ""])?;
        }
        Ok(())
    }

    /// Adds a row to the contact sheet. An image that cannot be read, or not any more, is grey.
    fn add_tiles(&mut self, query: &str, image: Option<&Image>, neighbors: &[NeighborRecord]) {
        self.tiles.push(tile(image, format!("query: {}", short(query))));
        for found in neighbors {
            let image = Image::open(&found.input).ok();
            let caption = format!("{:.3} {}", found.similarity, short(&found.input));
            self.tiles.push(tile(image.as_ref(), caption));
        }
        while !self.tiles.len().is_multiple_of(self.columns) {
            self.tiles
                .push(Sample::new((1, 1), vec![[0xff; 3]], String::new()));
        }
    }
}

impl FailureRecords for Report {
    fn failed(&mut self, query: &str, failure: &Failure) -> anyhow::Result<()> {
        match self.format {
            // Failures are printed to standard error, where people look for them.
            SimilarFormat::Text => {}
            SimilarFormat::Json => self.sink.json(&Record::failed(query, failure))?,
            SimilarFormat::Csv => self.sink.csv([query, "", "", "", &failure.reason])?,
            SimilarFormat::Png => self.add_tiles(query, None, &[]),
        }
        self.sink.end_input(false)
    }

    fn into_sink(self) -> Sink {
        self.sink
    }
}

/// Returns the last part of a path.
fn short(name: &str) -> &str {
    Path::new(name)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(name)
}

/// Returns a square with the image in its middle, on white.
fn tile(image: Option<&Image>, caption: String) -> Sample {
    let scaled = image.and_then(|image| {
        let (width, height) = (image.width(), image.height());
        let longest = width.max(height);
        let side = |side: usize| (side * SIDE / longest).max(1);
        image
            .resize(side(width), side(height), Interpolation::Bilinear)
            .ok()
    });
    let Some(scaled) = scaled else {
        return Sample::new((1, 1), vec![[0xd0; 3]], caption);
    };
    let (left, top) = ((SIDE - scaled.width()) / 2, (SIDE - scaled.height()) / 2);
    let mut pixels = vec![[0xff; 3]; SIDE * SIDE];
    for (y, row) in scaled.rows().enumerate() {
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            pixels[(top + y) * SIDE + left + x].copy_from_slice(pixel);
        }
    }
    Sample::new((SIDE, SIDE), pixels, caption)
}
