//! Names and shapes of tensors: recognising a scheme, a variant, and renaming.

use effnet_architecture::{Renaming, Scheme, Signature, TensorShapes, Variant};

/// Lines of `name size size ...`.
pub(crate) fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let tensors: Vec<(&str, Vec<usize>)> = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            (name, words.filter_map(|word| word.parse().ok()).collect())
        })
        .collect();
    let shapes: TensorShapes<'_> = tensors
        .iter()
        .map(|(name, shape)| (*name, shape.as_slice()))
        .collect();
    if let Ok(signature) = Signature::read(&shapes) {
        let _ = Variant::recognise(&signature);
    }
    let _ = Scheme::recognise(shapes.names());
    let Ok(from) = Scheme::of(&shapes) else { return };
    let Ok(renaming) = Renaming::read(&shapes, from, None) else {
        return;
    };
    if let Ok(same) = renaming.names(shapes.names(), from) {
        assert_eq!(same.len(), shapes.names().len());
    }
    for to in Scheme::ALL {
        let _ = renaming.names(shapes.names(), to);
    }
}
