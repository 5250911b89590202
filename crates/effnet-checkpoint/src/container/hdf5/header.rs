//! Object headers: the messages that describe a group or a dataset.

use super::fields::Fields;
use super::{Hdf5, Outcome, Problem, damaged};

/// Maximum number of continuation blocks of one header. h5py writes one or two.
const MAX_BLOCKS: usize = 64;

const CONTINUATION: u16 = 0x10;
/// The flag of a message that is stored elsewhere.
const SHARED: u8 = 0x02;

/// The kinds of messages that are read.
pub(super) mod kind {
    pub(in super::super) const DATASPACE: u16 = 0x01;
    pub(in super::super) const LINK_INFO: u16 = 0x02;
    pub(in super::super) const DATATYPE: u16 = 0x03;
    pub(in super::super) const EXTERNAL_FILES: u16 = 0x07;
    pub(in super::super) const LINK: u16 = 0x06;
    pub(in super::super) const LAYOUT: u16 = 0x08;
    pub(in super::super) const FILTERS: u16 = 0x0b;
    pub(in super::super) const SYMBOL_TABLE: u16 = 0x11;
}

/// The messages of an object that matter here, in order.
pub(super) struct Header<'a> {
    messages: Vec<(u16, u8, &'a [u8])>,
}

impl<'a> Header<'a> {
    pub(super) fn read(reader: &'a Hdf5<'_>, address: u64) -> Outcome<Self> {
        let mut header = Header { messages: Vec::new() };
        let start = reader.at(address)?;
        let mut blocks = if start.clone().take(4)? == b"OHDR" {
            header.second_version(reader, start)?
        } else {
            header.first_version(reader, start)?
        };
        let mut read = 0;
        while let Some((address, len, format)) = blocks.pop() {
            read += 1;
            if read > MAX_BLOCKS {
                return damaged(format!("an object has more than {MAX_BLOCKS} blocks of messages"));
            }
            let mut fields = Fields::new(reader.at(address)?.take(len)?);
            if let Format::Second { .. } = format {
                fields.signature(*b"OCHK")?;
                fields = Fields::new(fields.take(fields.len().checked_sub(4).ok_or(Problem::Truncated)?)?);
            }
            header.block(reader, fields, format, &mut blocks)?;
        }
        Ok(header)
    }

    fn first_version(&mut self, reader: &'a Hdf5<'_>, mut fields: Fields<'a>) -> Outcome<Vec<Block>> {
        if fields.u8()? != 1 {
            return damaged("an address does not lead to an object");
        }
        fields.skip(7)?;
        let len = fields.u32()? as usize;
        fields.skip(4)?;
        let mut blocks = Vec::new();
        let messages = Fields::new(fields.take(len)?);
        self.block(reader, messages, Format::First, &mut blocks)?;
        Ok(blocks)
    }

    fn second_version(&mut self, reader: &'a Hdf5<'_>, mut fields: Fields<'a>) -> Outcome<Vec<Block>> {
        fields.skip(4)?;
        if fields.u8()? != 2 {
            return Err(Problem::Unsupported("object headers of an unknown version"));
        }
        let flags = fields.u8()?;
        fields.skip(if flags & 0x20 != 0 { 16 } else { 0 })?;
        fields.skip(if flags & 0x10 != 0 { 4 } else { 0 })?;
        let len = fields.number(1 << (flags & 3))?;
        let len = usize::try_from(len).map_err(|_| Problem::Truncated)?;
        let format = Format::Second {
            order: flags & 0x04 != 0,
        };
        let mut blocks = Vec::new();
        let messages = Fields::new(fields.take(len)?);
        self.block(reader, messages, format, &mut blocks)?;
        Ok(blocks)
    }

    /// Reads the messages of one block, and notes its continuations.
    fn block(
        &mut self,
        reader: &'a Hdf5<'_>,
        mut fields: Fields<'a>,
        format: Format,
        blocks: &mut Vec<Block>,
    ) -> Outcome<()> {
        // Less than the head of a message is a gap.
        while fields.len() >= format.head() {
            reader.visit()?;
            let kind = match format {
                Format::First => fields.u16()?,
                Format::Second { .. } => u16::from(fields.u8()?),
            };
            let len = usize::from(fields.u16()?);
            let flags = fields.u8()?;
            fields.skip(format.head() - format.read())?;
            let data = fields.take(len)?;
            if kind == CONTINUATION {
                let mut data = Fields::new(data);
                blocks.push((data.u64()?, data.size()?, format));
            } else if (kind::DATASPACE..=kind::SYMBOL_TABLE).contains(&kind) {
                reader.budget.hold(size_of::<(u16, u8, &[u8])>() * 2);
                self.messages.push((kind, flags, data));
            }
        }
        Ok(())
    }

    /// The first message of a kind.
    pub(super) fn get(&self, kind: u16) -> Outcome<Option<Fields<'a>>> {
        self.all(kind).next().transpose()
    }

    /// All messages of a kind.
    pub(super) fn all(&self, kind: u16) -> impl Iterator<Item = Outcome<Fields<'a>>> {
        let found = self.messages.iter().filter(move |message| message.0 == kind);
        found.map(|&(_, flags, data)| {
            if flags & SHARED != 0 {
                return Err(Problem::Unsupported("messages shared by several objects"));
            }
            Ok(Fields::new(data))
        })
    }
}

/// Address, length and format of a block of messages.
type Block = (u64, usize, Format);

#[derive(Debug, Clone, Copy)]
enum Format {
    First,
    /// Whether each message has its place in the order of creation.
    Second {
        order: bool,
    },
}

impl Format {
    /// Size of the head of a message.
    fn head(self) -> usize {
        match self {
            Format::First => 8,
            Format::Second { order } => 4 + if order { 2 } else { 0 },
        }
    }

    /// How many bytes of the head are kind, length and flags.
    fn read(self) -> usize {
        match self {
            Format::First => 5,
            Format::Second { .. } => 4,
        }
    }
}
