//! Writes the zip archive of `torch.save`: uncompressed entries whose contents start at multiples of 64
//! bytes.

use super::atomic_file::AtomicFile;
use super::{Job, WriteError, pickle};
use std::io::Write as _;

/// The folder in the archive. `torch.save` uses the name of the file, but readers accept any name.
const ROOT: &str = "archive";
const ALIGNMENT: u64 = 64;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// 1 January 1980: a fixed date, so that the same tensors give the same file.
const DATE: u16 = 0x21;
const STORED: u16 = 0;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Numbers of this size or larger are written to a ZIP64 field and replaced by all ones.
const NARROW: u64 = u32::MAX as u64;

pub(super) fn write(job: &Job<'_>, file: &mut AtomicFile) -> Result<(), WriteError> {
    write_with(job, file, NARROW)
}

fn write_with(job: &Job<'_>, file: &mut AtomicFile, narrow: u64) -> Result<(), WriteError> {
    let mut archive = Archive {
        file,
        directory: Vec::new(),
        count: 0,
        narrow,
    };
    let io = |source| job.io(source);
    archive.entry("data.pkl", &pickle::state_dict(job)).map_err(io)?;
    archive.entry("byteorder", b"little").map_err(io)?;
    for (index, (name, tensor)) in job.state_dict.iter().enumerate() {
        job.with_bytes(name, tensor, |bytes| {
            archive.entry(&format!("data/{index}"), bytes)
        })?;
    }
    archive.entry("version", b"3\n").map_err(io)?;
    archive.finish().map_err(io)
}

struct Archive<'a> {
    file: &'a mut AtomicFile,
    directory: Vec<u8>,
    count: u64,
    narrow: u64,
}

/// Appends little-endian fields.
fn fields(out: &mut Vec<u8>, shorts: &[u16]) {
    for short in shorts {
        out.extend(short.to_le_bytes());
    }
}

impl Archive<'_> {
    fn short(&self, number: u64) -> [u8; 4] {
        (if number >= self.narrow {
            u32::MAX
        } else {
            number as u32
        })
        .to_le_bytes()
    }

    /// Returns the ZIP64 extra field with the numbers that do not fit into 32 bits.
    fn wide(&self, numbers: &[u64]) -> Vec<u8> {
        let wide: Vec<u8> = numbers
            .iter()
            .filter(|&&number| number >= self.narrow)
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let mut extra = Vec::new();
        if !wide.is_empty() {
            fields(&mut extra, &[1, wide.len() as u16]);
            extra.extend(wide);
        }
        extra
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let name = format!("{ROOT}/{name}");
        let (start, len) = (self.file.position(), bytes.len() as u64);
        let crc = crc32fast::hash(bytes).to_le_bytes();

        // A local header that needs the ZIP64 field must hold both sizes in it.
        let mut extra = self.wide(&[len, len]);
        let content = start + 30 + name.len() as u64 + extra.len() as u64 + 4;
        let padding = content.next_multiple_of(ALIGNMENT) - content;
        fields(&mut extra, &[u16::from_le_bytes(*b"FB"), padding as u16]);
        extra.resize(extra.len() + padding as usize, b'Z');
        let mut header = b"PK\x03\x04".to_vec();
        let version = if len >= self.narrow {
            VERSION_ZIP64
        } else {
            VERSION
        };
        fields(&mut header, &[version, FLAGS, STORED, 0, DATE]);
        header.extend([crc, self.short(len), self.short(len)].concat());
        fields(&mut header, &[name.len() as u16, extra.len() as u16]);
        self.file.write_all(&header)?;
        self.file.write_all(name.as_bytes())?;
        self.file.write_all(&extra)?;
        self.file.write_all(bytes)?;

        let extra = self.wide(&[len, len, start]);
        let version = if extra.is_empty() { VERSION } else { VERSION_ZIP64 };
        let [len, start] = [self.short(len), self.short(start)];
        self.directory.extend(b"PK\x01\x02");
        fields(&mut self.directory, &[version, version, FLAGS, STORED, 0, DATE]);
        self.directory.extend([crc, len, len].concat());
        fields(
            &mut self.directory,
            &[name.len() as u16, extra.len() as u16, 0, 0, 0, 0, 0],
        );
        self.directory.extend(start);
        self.directory.extend(name.as_bytes());
        self.directory.extend(extra);
        self.count += 1;
        Ok(())
    }

    /// Writes the directory and both of its end records, as `torch.save` does.
    fn finish(self) -> std::io::Result<()> {
        let start = self.file.position();
        let len = self.directory.len() as u64;
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44u64.to_le_bytes());
        fields(&mut end, &[VERSION_ZIP64, VERSION_ZIP64, 0, 0, 0, 0]);
        end.extend(
            [self.count, self.count, len, start]
                .map(u64::to_le_bytes)
                .concat(),
        );
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend((start + len).to_le_bytes());
        end.extend(1u32.to_le_bytes());
        let count = if self.count >= u64::from(u16::MAX) {
            u16::MAX
        } else {
            self.count as u16
        };
        end.extend(b"PK\x05\x06");
        fields(&mut end, &[0, 0, count, count]);
        end.extend([self.short(len), self.short(start)].concat());
        fields(&mut end, &[0]);
        self.file.write_all(&self.directory)?;
        self.file.write_all(&end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::WriteOptions;
    use crate::{Checkpoint, DType, StateDict, Tensor};

    /// Tests the layout of an archive larger than 4 GB, at a size that a test can afford.
    #[test]
    fn numbers_that_do_not_fit_are_read_back_from_their_wide_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.pth");
        let tensor = Tensor::from_bytes(DType::U8, [300], vec![7; 300]).unwrap();
        let state_dict: StateDict = [("w", tensor.clone()), ("v", tensor)].into_iter().collect();
        let options = WriteOptions::default();
        for narrow in [0, 100, 500] {
            let job = Job {
                path: &path,
                state_dict: &state_dict,
                options: &options,
            };
            let mut file = AtomicFile::create(&path).unwrap();
            write_with(&job, &mut file, narrow).unwrap();
            file.commit().unwrap();
            let read = Checkpoint::open(&path).unwrap();
            assert_eq!(&*read.state_dict().get("v").unwrap().bytes().unwrap(), [7; 300]);
        }
    }
}
