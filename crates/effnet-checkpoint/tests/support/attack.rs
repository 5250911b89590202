//! Creates small files that repeat references, in every container.
#![allow(dead_code, reason = "each test binary uses its own part")]

/// A stream around a pickled object and a pickled list of storage keys, whose storage `0` has one float.
pub(crate) fn stream(object: &[u8], keys: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let storage = [&1u64.to_le_bytes()[..], &[0; 4]].concat();
    [&head[..], object, b"\x80\x02", keys, b".", &storage].concat()
}

/// An archive of `torch.save` around a pickled object, whose storage `0` has one float.
pub(crate) fn zip(object: &[u8]) -> Vec<u8> {
    zip_of(&[
        (b"a/data.pkl".to_vec(), object.to_vec()),
        (b"a/data/0".to_vec(), vec![0; 4]),
    ])
}

/// A zip archive of stored entries.
pub(crate) fn zip_of(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let stored = entries.iter().map(|(name, content)| Packed {
        name: name.clone(),
        method: 0,
        size: content.len() as u32,
        crc: crc32fast::hash(content),
        content: content.clone(),
    });
    zip_packed(&stored.collect::<Vec<_>>())
}

/// An entry as it is in an archive.
pub(crate) struct Packed {
    pub(crate) name: Vec<u8>,
    /// 0 for stored, 8 for deflated.
    pub(crate) method: u8,
    /// Size and checksum before packing.
    pub(crate) size: u32,
    pub(crate) crc: u32,
    pub(crate) content: Vec<u8>,
}

/// A zip archive of packed entries.
pub(crate) fn zip_packed(entries: &[Packed]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for Packed {
        name,
        method,
        size,
        crc,
        content,
    } in entries
    {
        let offset = bytes.len() as u32;
        let (packed, name_len) = (content.len() as u32, name.len() as u16);
        let common = [
            &[20, 0, 0, 0, *method, 0, 0, 0, 0, 0][..],
            &crc.to_le_bytes(),
            &packed.to_le_bytes(),
            &size.to_le_bytes(),
            &name_len.to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        bytes.extend([b"PK\x03\x04", &common[..], name, content].concat());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name);
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// A tar archive of torch 0.1 with one storage, `0`, of one float.
pub(crate) fn tar(object: &[u8]) -> Vec<u8> {
    let class = b"\x80\x02(U\x010U\x03cpuctorch\nFloatStorage\nt.";
    let storage = [&1u64.to_le_bytes()[..], &[0; 4]].concat();
    let storages = [b"\x80\x02K\x01.", &class[..], &storage, b"\x80\x02]."].concat();
    let members = [
        ("storages", &storages[..]),
        ("tensors", b"\x80\x02K\x00."),
        ("pickle", object),
    ];
    let mut bytes: Vec<u8> = members
        .iter()
        .flat_map(|(name, content)| member(name, content))
        .collect();
    bytes.extend([0; 1024]);
    bytes
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    header[154] = 0;
    let mut bytes = [&header[..], content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A safetensors file.
pub(crate) fn safetensors(header: &str, content: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        content,
    ]
    .concat()
}

/// A tensor on storage `0`, with pickled sizes and strides.
pub(crate) fn tensor_of(sizes: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = b"((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\x00";
    [
        b"ctorch._utils\n_rebuild_tensor\n",
        &storage[..],
        sizes,
        strides,
        b"tR",
    ]
    .concat()
}

/// A module whose list of transient buffers repeats one name of `len` bytes; the list takes about `list`
/// bytes.
pub(crate) fn buffer_names(len: usize, list: usize) -> Vec<u8> {
    let name = [&b"X"[..], &(len as u32).to_le_bytes(), &vec![b'n'; len], b"q\x01"].concat();
    let state = [
        &b"}(X\x0b\0\0\0_parameters}X\x08\0\0\0_buffers}X\x1b\0\0\0_non_persistent_buffers_set](h\x01"[..],
        &b"h\x01".repeat(list / 2),
        b"eu",
    ]
    .concat();
    [b"\x80\x02", &name[..], b"0cm\nM\n)\x81", &state, b"b."].concat()
}

/// A dict of `count` modules, whose attributes are all looked up in two states of 1000 keys.
pub(crate) fn lookups(count: usize) -> Vec<u8> {
    let keys = b"U\x0b_parameterxN".repeat(1000);
    let state = [b"}q\x01(", &keys[..], b"u0"].concat();
    let module = b"U\x01mcm\nM\n)\x81h\x01bh\x01b".repeat(count);
    [b"\x80\x02", &state[..], b"}(", &module, b"u."].concat()
}
