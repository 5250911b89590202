//! Event files for TensorBoard.
//!
//! A file is a sequence of TFRecords, each an `Event` message of TensorFlow's `event.proto`. Only the
//! fields that are written are declared here.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::RunError;

/// The version that readers expect in the first record.
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Values),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Values {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionLog.SessionStatus.START`: readers drop earlier events of this step and later ones.
const START: i32 = 1;

/// Writes an event file. Every event is in the file when the call returns.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a new file in `folder`. TensorBoard merges all files of a folder into one run; it drops the
    /// events of earlier files from `first_step` on.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn create(folder: &Path, first_step: u64) -> Result<Self, RunError> {
        let mut seconds = now() as u64;
        let (file, path) = loop {
            // Readers sort the files of a folder by name.
            let name = format!("events.out.tfevents.{seconds:010}.effnet");
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => seconds += 1,
                Err(error) => return Err(RunError::io(&path, "created")(error)),
            }
        };
        let mut writer = Self { file, path };
        writer.write(0, What::FileVersion(VERSION.to_owned()))?;
        writer.write(first_step, What::SessionLog(SessionLog { status: START }))?;
        Ok(writer)
    }

    /// Adds scalars by tag, such as `loss/train`; TensorBoard groups tags with the same text before the
    /// slash.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), RunError> {
        let scalar = |&(tag, value): &(&str, f64)| Scalar {
            tag: tag.to_owned(),
            simple_value: Some(value as f32),
        };
        let value = scalars.iter().map(scalar).collect();
        self.write(step, What::Summary(Values { value }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<(), RunError> {
        let event = Event {
            wall_time: now(),
            step: step as i64,
            what: Some(what),
        };
        let record = frame(&event.encode_to_vec());
        self.file
            .write_all(&record)
            .map_err(RunError::io(&self.path, "written"))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A TFRecord: the length, its checksum, the bytes, their checksum.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend(length);
    record.extend(masked_checksum(&length));
    record.extend(bytes);
    record.extend(masked_checksum(bytes));
    record
}

/// CRC-32C, rotated and shifted so that a checksum of data that holds checksums stays a good one.
fn masked_checksum(bytes: &[u8]) -> [u8; 4] {
    const MASK: u32 = 0xa282_ead8;
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(MASK)
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a file, checksums verified.
    fn read(path: &Path) -> Vec<Event> {
        let mut bytes = std::fs::read(path).unwrap();
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let record = bytes[12..12 + length].to_vec();
            let rest = bytes.split_off(16 + length);
            assert_eq!(frame(&record), bytes);
            events.push(Event::decode(record.as_slice()).unwrap());
            bytes = rest;
        }
        events
    }

    #[test]
    fn the_checksum_is_the_one_that_tensorflow_masks() {
        // CRC-32C of 32 zero bytes is 0x8a9136aa (RFC 3720, B.4).
        let expected = 0x8a91_36aau32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked_checksum(&[0; 32]), expected.to_le_bytes());
    }

    #[test]
    fn a_file_begins_with_its_version_and_the_step_that_it_goes_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 7).unwrap();
        writer.scalars(8, &[("loss/train", 0.5), ("lr", 0.1)]).unwrap();
        let events = read(&writer.path);
        assert_eq!(events[0].what, Some(What::FileVersion(VERSION.to_owned())));
        assert_eq!(
            (events[1].step, events[1].what.clone()),
            (7, Some(What::SessionLog(SessionLog { status: START })))
        );
        let Some(What::Summary(values)) = &events[2].what else {
            panic!("no numbers");
        };
        let found: Vec<_> = values
            .value
            .iter()
            .map(|v| (v.tag.as_str(), v.simple_value))
            .collect();
        assert_eq!(events[2].step, 8);
        assert_eq!(found, [("loss/train", Some(0.5)), ("lr", Some(0.1))]);
    }

    #[test]
    fn files_of_one_second_do_not_overwrite_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path(), 0).unwrap();
        let second = EventWriter::create(folder.path(), 0).unwrap();
        assert!(first.path < second.path);
    }
}
