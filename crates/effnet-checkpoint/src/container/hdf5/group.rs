//! The members of a group: in a symbol table, which is what h5py writes by default, or in link messages.

use super::fields::Fields;
use super::header::{Header, kind};
use super::{Hdf5, Outcome, Problem, UNDEFINED, damaged};

/// Maximum height of a B-tree. One with 16 entries per node and this height has more leaves than bytes in any file.
const MAX_LEVEL: u8 = 16;

/// Names and addresses of the members.
type Links<'a> = Vec<(&'a [u8], u64)>;

pub(super) fn links<'a>(reader: &'a Hdf5<'_>, header: &Header<'a>) -> Outcome<Links<'a>> {
    let mut links = Vec::new();
    if let Some(mut table) = header.get(kind::SYMBOL_TABLE)? {
        let (tree, heap) = (table.u64()?, table.u64()?);
        let heap = names(reader, heap)?;
        node(reader, tree, None, heap, &mut links)?;
    }
    if let Some(mut info) = header.get(kind::LINK_INFO)? {
        info.skip(1)?;
        let flags = info.u8()?;
        info.skip(if flags & 1 != 0 { 8 } else { 0 })?;
        if info.u64()? != UNDEFINED {
            return Err(Problem::Unsupported("groups whose links are in a fractal heap"));
        }
    }
    for message in header.all(kind::LINK) {
        let link = link(message?)?;
        push(reader, &mut links, link)?;
    }
    Ok(links)
}

fn push<'a>(reader: &Hdf5<'_>, links: &mut Links<'a>, link: (&'a [u8], u64)) -> Outcome<()> {
    reader.visit()?;
    reader.budget.hold(2 * size_of::<(&[u8], u64)>());
    reader.budget.check()?;
    links.push(link);
    Ok(())
}

/// Reads a link message.
fn link(mut fields: Fields<'_>) -> Outcome<(&[u8], u64)> {
    if fields.u8()? != 1 {
        return Err(Problem::Unsupported("links of an unknown version"));
    }
    let flags = fields.u8()?;
    if flags & 0x08 != 0 && fields.u8()? != 0 {
        return Err(Problem::Unsupported("soft or external links"));
    }
    fields.skip(if flags & 0x04 != 0 { 8 } else { 0 })?;
    fields.skip(usize::from(flags & 0x10 != 0))?;
    let len = fields.number(1 << (flags & 3))?;
    let name = fields.take(usize::try_from(len).map_err(|_| Problem::Truncated)?)?;
    Ok((name, fields.u64()?))
}

/// Returns the data of a local heap, which holds names.
fn names<'a>(reader: &'a Hdf5<'_>, address: u64) -> Outcome<&'a [u8]> {
    let mut fields = reader.at(address)?;
    fields.signature(*b"HEAP")?;
    fields.skip(4)?;
    let len = fields.size()?;
    fields.skip(8)?;
    let data = fields.u64()?;
    reader.at(data)?.take(len)
}

/// Reads a node of a B-tree of symbols. Levels decrease from node to node, so there are no cycles.
fn node<'a>(
    reader: &'a Hdf5<'_>,
    address: u64,
    level: Option<u8>,
    heap: &'a [u8],
    links: &mut Links<'a>,
) -> Outcome<()> {
    reader.visit()?;
    let mut fields = reader.at(address)?;
    fields.signature(*b"TREE")?;
    let (of, found) = (fields.u8()?, fields.u8()?);
    if of != 0 || found > MAX_LEVEL || level.is_some_and(|level| found != level) {
        return damaged("a node of a group's B-tree has an invalid kind or level");
    }
    let count = fields.u16()?;
    fields.skip(16)?;
    for _ in 0..count {
        fields.skip(8)?;
        let child = fields.u64()?;
        match found.checked_sub(1) {
            Some(below) => node(reader, child, Some(below), heap, links)?,
            None => symbols(reader, child, heap, links)?,
        }
    }
    Ok(())
}

/// Reads a node with symbols.
fn symbols<'a>(reader: &'a Hdf5<'_>, address: u64, heap: &'a [u8], links: &mut Links<'a>) -> Outcome<()> {
    const SYMBOLIC_LINK: u32 = 2;
    let mut fields = reader.at(address)?;
    fields.signature(*b"SNOD")?;
    fields.skip(2)?;
    let count = fields.u16()?;
    for _ in 0..count {
        let (name, object) = (fields.u64()?, fields.u64()?);
        if fields.u32()? == SYMBOLIC_LINK {
            return Err(Problem::Unsupported("soft or external links"));
        }
        fields.skip(20)?;
        let name = Fields::at(heap, name)?;
        let rest = name.clone().take(name.len())?;
        let len = rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(Problem::Truncated)?;
        push(reader, links, (&rest[..len], object))?;
        // The search for the end of a name is not bounded by the entry.
        reader.budget.read(len);
    }
    Ok(())
}
