//! The few parts of protobuf's wire format that an ONNX file needs.
//!
//! A library for protobuf builds the whole message in memory before it writes it, and an ONNX model is one message
//! with all weights in it. This module only builds the small messages, and the headers of the large ones, so that the
//! weights go from the checkpoint to the file one filter at a time.

/// Fields of a message, encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// The low bits of a tag say how the value is encoded.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    LengthDelimited = 2,
}

impl Message {
    /// Appends an integer.
    pub(crate) fn int(mut self, field: u32, value: i64) -> Self {
        self.tag(field, WireType::Varint);
        self.varint(value as u64);
        self
    }

    /// Appends a string.
    pub(crate) fn text(self, field: u32, value: &str) -> Self {
        self.delimited(field, value.as_bytes())
    }

    /// Appends a message.
    pub(crate) fn message(self, field: u32, value: &Self) -> Self {
        self.delimited(field, &value.bytes)
    }

    /// Appends each message of a repeated field.
    pub(crate) fn messages(self, field: u32, values: impl IntoIterator<Item = Self>) -> Self {
        values
            .into_iter()
            .fold(self, |message, value| message.message(field, &value))
    }

    /// Appends each integer of a repeated field.
    pub(crate) fn ints(self, field: u32, values: &[i64]) -> Self {
        values
            .iter()
            .fold(self, |message, &value| message.int(field, value))
    }

    /// Appends the tag and the length of a field whose `length` bytes the caller writes after this message.
    pub(crate) fn header(mut self, field: u32, length: u64) -> Self {
        self.tag(field, WireType::LengthDelimited);
        self.varint(length);
        self
    }

    /// The encoded fields.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of encoded bytes.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn delimited(self, field: u32, value: &[u8]) -> Self {
        let mut message = self.header(field, value.len() as u64);
        message.bytes.extend(value);
        message
    }

    fn tag(&mut self, field: u32, wire_type: WireType) {
        self.varint(u64::from(field) << 3 | wire_type as u64);
    }

    /// Seven bits per byte, lowest first; the high bit of a byte says that another one follows.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_the_specification_says() {
        // The examples of protobuf.dev/programming-guides/encoding.
        assert_eq!(Message::default().int(1, 150).bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").bytes(), b"\x12\x07testing");
        let inner = Message::default().int(1, 150);
        assert_eq!(
            Message::default().message(3, &inner).bytes(),
            [0x1a, 0x03, 0x08, 0x96, 0x01]
        );
        let minus_two = Message::default().int(1, -2);
        assert_eq!(minus_two.bytes()[..2], [0x08, 0xfe]);
        assert_eq!((minus_two.len(), minus_two.bytes()[10]), (11, 1));
        // Field numbers from 16 on need two bytes.
        assert_eq!(Message::default().int(20, 7).bytes(), [0xa0, 0x01, 0x07]);
        assert_eq!(Message::default().header(9, 300).bytes(), [0x4a, 0xac, 0x02]);
        assert_eq!(Message::default().ints(1, &[1, 2]).bytes(), [8, 1, 8, 2]);
    }
}
