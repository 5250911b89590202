//! The header of NPY files: written with room for any number of rows, and read as untrusted input.

/// The bytes before the rows that this crate writes: a multiple of 64, which is what NumPy aligns to.
pub(crate) const HEADER: usize = 128;

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read. NumPy writes 118 bytes.
const LONGEST: usize = 4096;
/// The bytes to read for [`parse`], unless the file is shorter.
pub(crate) const PREFIX: usize = LONGEST + 12;

/// Two dimensions and the place of the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: u64,
    pub(crate) width: u64,
    /// The number of bytes before the first row.
    pub(crate) start: u64,
}

/// Returns the header of a file with `rows` rows of `width` features. Its length does not depend on the numbers.
pub(crate) fn header(rows: u64, width: usize) -> [u8; HEADER] {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut header = [b' '; HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    // Two numbers of 20 digits fit.
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

/// Reads the header at the start of a file.
///
/// # Errors
/// A description of what the file is instead.
pub(crate) fn parse(bytes: &[u8]) -> Result<Shape, String> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err("not an NPY file".to_owned());
    };
    let (digits, rest) = match rest {
        [1, _, rest @ ..] => (2, rest),
        [2 | 3, _, rest @ ..] => (4, rest),
        [version, _, ..] => return Err(format!("an NPY file of version {version}")),
        _ => return Err("a truncated NPY file".to_owned()),
    };
    let (length, rest) = rest
        .split_at_checked(digits)
        .ok_or_else(|| "a truncated NPY file".to_owned())?;
    let length = length
        .iter()
        .rev()
        .fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > LONGEST {
        return Err(format!("an NPY header of {length} bytes"));
    }
    let text = rest
        .get(..length)
        .ok_or_else(|| "a truncated NPY file".to_owned())?;
    let text = std::str::from_utf8(text).map_err(|_| "an NPY file with a damaged header".to_owned())?;
    let (rows, width) = described(text)?;
    let start = (bytes.len() - rest.len() + length) as u64;
    Ok(Shape { rows, width, start })
}

/// Reads the dictionary of a header, a Python literal with the keys in any order.
fn described(text: &str) -> Result<(u64, u64), String> {
    let damaged = || "an NPY file with a damaged header".to_owned();
    let value = |key: &str| {
        let (_, value) = text.split_once(&format!("'{key}':"))?;
        Some(value.trim_start())
    };
    let quoted = value("descr").and_then(|value| value.strip_prefix('\''));
    match quoted.and_then(|value| value.split_once('\'')) {
        Some(("<f4", _)) => {}
        Some((other, _)) => {
            let other: String = other.chars().take(20).collect();
            return Err(format!("an NPY file of `{}`", other.escape_default()));
        }
        None => return Err("an NPY file of records".to_owned()),
    }
    if !value("fortran_order").ok_or_else(damaged)?.starts_with("False") {
        return Err("an NPY file in Fortran order".to_owned());
    }
    let shape = value("shape").and_then(|value| value.strip_prefix('('));
    let (shape, _) = shape
        .and_then(|shape| shape.split_once(')'))
        .ok_or_else(damaged)?;
    let sizes: Result<Vec<u64>, _> = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(str::parse)
        .collect();
    match *sizes.map_err(|_| damaged())? {
        [_, 0] => Err("an NPY file with rows of 0 features".to_owned()),
        [rows, width] => Ok((rows, width)),
        ref sizes => Err(format!("an NPY file with {} dimensions", sizes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_back_its_numbers() {
        for (rows, width) in [(0, 1), (1, 1280), (1_000_000, 1280), (u64::MAX, usize::MAX)] {
            let width_read = width as u64;
            let shape = Shape {
                rows,
                width: width_read,
                start: HEADER as u64,
            };
            assert_eq!(parse(&header(rows, width)), Ok(shape));
        }
    }

    /// Returns a file with this dictionary.
    fn file(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn other_files_are_named() {
        for (text, expected) in [
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
                "`<f8`",
            ),
            (
                "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }",
                "`>f4`",
            ),
            (
                "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
                "Fortran order",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
                "1 dimensions",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }",
                "0 features",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }",
                "damaged",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 3)}",
                "damaged",
            ),
            (
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}",
                "records",
            ),
            ("", "records"),
        ] {
            let error = parse(&file(text)).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let ordered = file("{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}");
        assert!(parse(&ordered).is_ok());
        for length in 0..ordered.len() {
            assert!(parse(&ordered[..length]).is_err());
        }
        assert!(
            parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")
                .unwrap_err()
                .contains("4294967295")
        );
        assert_eq!(parse(b"PK\x03\x04"), Err("not an NPY file".to_owned()));
    }
}
