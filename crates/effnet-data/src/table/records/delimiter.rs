//! Finds what separates the fields of a CSV file, which may be a comma by its name only.

use std::io::Read;
use std::path::Path;

use csv::ByteRecord;
use effnet_image::is_image_path;

use super::quotes::WithoutSpaces;
use super::{SAMPLE, START};

/// The delimiters, in order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads rows of any length, without spaces around fields.
pub(super) fn reader<R: Read>(text: R, delimiter: u8) -> csv::Reader<WithoutSpaces<R>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(WithoutSpaces::new(text, delimiter))
}

/// Returns the text without a byte-order mark and without the line `sep=;` that spreadsheets write.
pub(super) fn without_preamble(start: &[u8]) -> &[u8] {
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) if text[..end].starts_with(b"sep=") && end < 8 => &text[end + 1..],
        _ => text,
    }
}

/// Returns the delimiter: one that leaves the name of an image at the start of each row but the header or, if there is none,
/// the one that splits every row at the start of the file into the most fields.
pub(super) fn delimiter(start: &[u8]) -> u8 {
    let mut text = without_preamble(start);
    // The last line may be cut off.
    if let Some(end) = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .filter(|_| start.len() as u64 == START)
    {
        text = &text[..end];
    }
    let scores = DELIMITERS.map(|delimiter| (score(text, delimiter), delimiter));
    let best = scores.iter().map(|(score, _)| *score).max();
    let mut best = scores.into_iter().filter(|(score, _)| Some(*score) == best);
    best.next().map_or(b',', |(_, delimiter)| delimiter)
}

/// Returns whether each row but the header starts with the name of an image, and the number of fields that each row has.
fn score(text: &[u8], delimiter: u8) -> (bool, usize) {
    let reader = reader(text, delimiter);
    let rows: Vec<ByteRecord> = reader.into_byte_records().flatten().take(SAMPLE).collect();
    let is_image = |row: &ByteRecord| {
        let name = row.get(0).map(String::from_utf8_lossy);
        name.is_some_and(|name| is_image_path(Path::new(&*name)))
    };
    let width = rows.iter().map(ByteRecord::len).min().unwrap_or(0);
    let header = usize::from(rows.len() > 1);
    (width > 1 && rows[header..].iter().all(is_image), width)
}
