//! The signature of a collective call, which the ranks compare before making the call.
//!
//! Gloo aborts the whole process when two ranks disagree on the size of a tensor. Comparing signatures of a fixed
//! size first turns that into an error on every rank, which quotes both calls.

use std::fmt;

use tch::{Device, Kind, Tensor};

/// How many numbers travel with a signature.
pub(crate) const PAYLOAD: usize = 4;
const DIMENSIONS: usize = 8;
const LENGTH: usize = 4 + DIMENSIONS + PAYLOAD;

/// A collective call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Numbers,
    AllReduce,
    Broadcast,
    AllGather,
    Barrier,
    Reducer,
}

impl Operation {
    const ALL: [Self; 6] = [
        Self::Numbers,
        Self::AllReduce,
        Self::Broadcast,
        Self::AllGather,
        Self::Barrier,
        Self::Reducer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Numbers => "all_gather_numbers",
            Self::AllReduce => "all_reduce",
            Self::Broadcast => "broadcast",
            Self::AllGather => "all_gather",
            Self::Barrier => "barrier",
            Self::Reducer => "the reducer",
        }
    }
}

/// The signature of a call: the operation, the kind, device and shape of its tensor, and four numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Signature {
    operation: Operation,
    kind: i64,
    /// Whether the tensor is in host memory: tensors on a device are sent over different connections.
    on_host: bool,
    rank: usize,
    shape: [i64; DIMENSIONS],
    pub(crate) payload: [f64; PAYLOAD],
}

impl Signature {
    pub(crate) fn new(operation: Operation, tensor: Option<&Tensor>, payload: [f64; PAYLOAD]) -> Self {
        let size = tensor.map(Tensor::size).unwrap_or_default();
        let mut shape = [0; DIMENSIONS];
        if size.len() > DIMENSIONS {
            shape[0] = size.iter().product();
        } else {
            shape[..size.len()].copy_from_slice(&size);
        }
        Self {
            operation,
            kind: tensor.map_or(-1, |tensor| tensor.kind() as i64),
            on_host: tensor.is_none_or(|tensor| tensor.device() == Device::Cpu),
            rank: size.len().min(DIMENSIONS),
            shape,
            payload,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.operation.name()
    }

    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        Self {
            payload: other.payload,
            ..*self
        } == *other
    }

    pub(crate) fn to_numbers(self) -> Vec<i64> {
        let mut numbers = vec![
            self.operation as i64,
            self.kind,
            i64::from(self.on_host),
            self.rank as i64,
        ];
        numbers.extend(self.shape);
        numbers.extend(self.payload.map(|number| number.to_bits().cast_signed()));
        numbers
    }

    /// Returns `None` for numbers that are not a signature.
    pub(crate) fn from_numbers(numbers: &[i64]) -> Option<Self> {
        if numbers.len() != LENGTH {
            return None;
        }
        let operation = *Operation::ALL.get(usize::try_from(numbers[0]).ok()?)?;
        let rank = usize::try_from(numbers[3])
            .ok()
            .filter(|&rank| rank <= DIMENSIONS)?;
        let (shape, payload) = numbers[4..].split_at(DIMENSIONS);
        Some(Self {
            operation,
            kind: numbers[1],
            on_host: numbers[2] != 0,
            rank,
            shape: shape.try_into().ok()?,
            payload: <[i64; PAYLOAD]>::try_from(payload)
                .ok()?
                .map(|bits| f64::from_bits(bits.cast_unsigned())),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation.name())?;
        let kind = KINDS.iter().find(|kind| **kind as i64 == self.kind);
        match (kind, self.kind) {
            (Some(kind), _) => write!(f, " of {kind:?} {:?}", &self.shape[..self.rank]),
            (None, -1) => Ok(()),
            (None, _) => write!(f, " of an unknown kind {:?}", &self.shape[..self.rank]),
        }?;
        if self.on_host {
            Ok(())
        } else {
            write!(f, " on a CUDA device")
        }
    }
}

/// The kinds that the text form of a [`Signature`] can name.
const KINDS: [Kind; 9] = [
    Kind::Uint8,
    Kind::Int8,
    Kind::Int,
    Kind::Int64,
    Kind::Half,
    Kind::Float,
    Kind::Double,
    Kind::Bool,
    Kind::BFloat16,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_survives_the_round_trip() {
        let tensor = Tensor::zeros([2, 3], (Kind::Float, tch::Device::Cpu));
        let own = Signature::new(Operation::AllReduce, Some(&tensor), [0.1, -1.0, 0.0, f64::MAX]);
        assert_eq!(Signature::from_numbers(&own.to_numbers()), Some(own));
        assert_eq!(own.to_string(), "all_reduce of Float [2, 3]");
    }

    #[test]
    fn another_kind_place_shape_or_call_is_another_signature() {
        let of = |operation, shape: &[i64], kind| {
            let tensor = Tensor::zeros(shape, (kind, tch::Device::Cpu));
            Signature::new(operation, Some(&tensor), [0.0; 4])
        };
        let own = of(Operation::Broadcast, &[4], Kind::Float);
        assert!(own.agrees_with(&Signature {
            payload: [1.0; 4],
            ..own
        }));
        for other in [
            of(Operation::Broadcast, &[4], Kind::Double),
            of(Operation::Broadcast, &[2, 2], Kind::Float),
            of(Operation::AllReduce, &[4], Kind::Float),
            Signature {
                on_host: false,
                ..own
            },
        ] {
            assert!(!own.agrees_with(&other), "{other}");
            assert_ne!(own.to_string(), other.to_string());
            assert_eq!(Signature::from_numbers(&other.to_numbers()), Some(other));
        }
    }

    #[test]
    fn numbers_of_another_program_are_refused() {
        assert_eq!(Signature::from_numbers(&[0; 3]), None);
        assert_eq!(Signature::from_numbers(&[99; LENGTH]), None);
    }
}
