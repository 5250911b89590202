//! Groups of an HDF5 file may contain each other; following them must cost no more than the file allows.
#![allow(clippy::unwrap_used, reason = "a test may panic if its own files are broken")]

#[path = "support/counting.rs"]
mod counting;

use counting::counted;
use effnet_checkpoint::{Error, ErrorKind, OpenOptions, Work};

/// Opens bytes that must be refused, within the limits for their size.
fn refusal(bytes: &[u8]) -> Error {
    let owned = bytes.to_vec();
    let ((opened, work), memory) = counted(|| OpenOptions::default().open_bytes_measured("file", owned));
    let limit = Work::limit_for(bytes.len());
    assert!(memory.peak as u64 <= limit.memory, "{memory:?}");
    assert!(work.steps <= limit.steps + bytes.len() as u64, "{work:?}");
    opened.unwrap_err()
}

/// An HDF5 file of groups, each of which has two links: to the groups with these numbers.
fn hdf5_groups(links: &[[usize; 2]]) -> Vec<u8> {
    const GROUP: usize = 240;
    let at = |group: usize| (96 + group * GROUP) as u64;
    let mut bytes = vec![0; 96 + links.len() * GROUP];
    let len = bytes.len() as u64;
    let mut put = |at: u64, part: &[u8]| bytes[at as usize..][..part.len()].copy_from_slice(part);
    put(0, b"\x89HDF\r\n\x1a\n");
    put(13, &[8, 8, 0, 4, 0, 16]);
    put(40, &len.to_le_bytes());
    put(64, &at(0).to_le_bytes());
    for (group, links) in links.iter().enumerate() {
        let start = at(group);
        let (tree, heap, names, symbols) = (start + 40, start + 88, start + 120, start + 136);
        put(start, &[1, 0, 1, 0, 1, 0, 0, 0, 24]);
        put(start + 16, &[0x11, 0, 16]);
        put(start + 24, &tree.to_le_bytes());
        put(start + 32, &heap.to_le_bytes());
        put(tree, b"TREE\0\0\x01");
        put(tree + 32, &symbols.to_le_bytes());
        put(heap, b"HEAP");
        put(heap + 8, &16_u64.to_le_bytes());
        put(heap + 24, &names.to_le_bytes());
        put(names, b"a\0\0\0\0\0\0\0b");
        put(symbols, b"SNOD\x01\0\x02");
        for (place, link) in links.iter().enumerate() {
            let entry = symbols + 8 + 40 * place as u64;
            put(entry, &(8 * place as u64).to_le_bytes());
            put(entry + 8, &at(*link).to_le_bytes());
        }
    }
    bytes
}

#[test]
fn hdf5_groups_that_share_groups_do_not_multiply() {
    // Twenty groups with two links each to the next have a million paths.
    let mut links: Vec<[usize; 2]> = (1..20).map(|next| [next, next]).collect();
    links.push([0, 0]);
    let error = refusal(&hdf5_groups(&links));
    assert!(error.to_string().contains("nested more than 24 deep"), "{error}");
    let mut bytes = hdf5_groups(&links);
    // The last group is empty, so that no path is too deep.
    let last = 96 + 19 * 240;
    bytes[last + 2] = 0;
    bytes[last + 8] = 0;
    let error = refusal(&bytes);
    assert!(matches!(error.kind(), ErrorKind::TooBig { .. }), "{error}");
}
