//! What ranks exchange arrives.

use tch::{Kind, Tensor};
use torch_c10d::{GroupError, ProcessGroup, Reduction};

use super::ranks::{all_succeed, group};

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double)).unwrap()
}

/// Every collective, with numbers that tell the ranks apart.
fn exchange(group: &ProcessGroup) {
    let (rank, world_size) = (group.rank() as f64, group.world_size() as f64);
    for (reduction, expected) in [
        (Reduction::Sum, world_size * (world_size - 1.0) / 2.0),
        (Reduction::Max, world_size - 1.0),
        (Reduction::Min, 0.0),
    ] {
        let tensor = Tensor::from_slice(&[rank, -1.0]);
        group.all_reduce(&tensor, reduction).unwrap();
        assert_eq!(values(&tensor)[0], expected, "{reduction:?}");
    }

    let tensor = Tensor::from_slice(&[rank as i64, 7]);
    group.broadcast(&tensor, 1).unwrap();
    assert_eq!(values(&tensor), [1.0, 7.0]);

    let gathered = group.all_gather(&Tensor::from_slice(&[rank as f32; 3])).unwrap();
    let gathered: Vec<Vec<f64>> = gathered.iter().map(values).collect();
    let expected: Vec<Vec<f64>> = (0..group.world_size()).map(|rank| vec![rank as f64; 3]).collect();
    assert_eq!(gathered, expected);

    let numbers = group.all_gather_numbers([rank, 0.5, f64::MIN, 3.0]).unwrap();
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(rank, own)| own == &[rank as f64, 0.5, f64::MIN, 3.0])
    );

    let own = vec![group.rank() as u8; group.rank() * 100];
    let bytes = group.all_gather_bytes(&own).unwrap();
    assert!(
        bytes
            .iter()
            .enumerate()
            .all(|(rank, own)| *own == vec![rank as u8; rank * 100])
    );
    assert_eq!(group.broadcast_bytes(&own, 1).unwrap(), vec![1; 100]);
    assert!(group.broadcast_bytes(&own, 0).unwrap().is_empty());

    assert!(group.any(group.rank() == 1).unwrap());
    assert!(!group.any(false).unwrap());
    group.barrier().unwrap();
}

#[test]
fn two_ranks_exchange_tensors_numbers_and_bytes() {
    match group() {
        Some(group) => exchange(&group),
        None => drop(all_succeed(
            "collectives::two_ranks_exchange_tensors_numbers_and_bytes",
            2,
        )),
    }
}

#[test]
fn three_ranks_exchange_tensors_numbers_and_bytes() {
    match group() {
        Some(group) => exchange(&group),
        None => drop(all_succeed(
            "collectives::three_ranks_exchange_tensors_numbers_and_bytes",
            3,
        )),
    }
}

#[test]
fn sums_have_the_same_bits_on_all_ranks() {
    let Some(group) = group() else {
        all_succeed("collectives::sums_have_the_same_bits_on_all_ranks", 3);
        return;
    };
    for length in [1, 7, 1000, 100_003] {
        tch::manual_seed(group.rank() as i64);
        let tensor = Tensor::randn([length], (Kind::Float, tch::Device::Cpu));
        group.all_reduce(&tensor, Reduction::Sum).unwrap();
        let all = group.all_gather(&tensor).unwrap();
        assert!(all.iter().all(|other| other.equal(&tensor)), "{length}");
    }
}

/// Gloo would end the processes of ranks that send each other more or less than expected.
#[test]
fn ranks_with_other_tensors_are_told_of_each_other() {
    let Some(group) = group() else {
        all_succeed("collectives::ranks_with_other_tensors_are_told_of_each_other", 3);
        return;
    };
    let is_last = group.rank() == 2;
    let differ = |result: Result<(), GroupError>, words: [&str; 2]| {
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!(
                "rank {}: mismatched collective calls: rank 2 called",
                group.rank()
            )),
            "{message}"
        );
        assert!(words.iter().all(|words| message.contains(words)), "{message}");
    };
    let length = if is_last { 4 } else { 3 };
    let tensor = Tensor::zeros([length], (Kind::Float, tch::Device::Cpu));
    differ(
        group.all_reduce(&tensor, Reduction::Sum),
        ["all_reduce of Float [4]", "all_reduce of Float [3]"],
    );
    let kind = if is_last { Kind::Double } else { Kind::Float };
    let tensor = Tensor::zeros([3], (kind, tch::Device::Cpu));
    differ(
        group.broadcast(&tensor, 0),
        ["broadcast of Double [3]", "broadcast of Float [3]"],
    );
    let other_call = if is_last {
        group.barrier()
    } else {
        group.all_gather(&tensor).map(drop)
    };
    differ(other_call, ["barrier", "all_gather of Float [3]"]);
    // Nothing was carried out: the group is whole.
    exchange(&group);
}

#[test]
fn a_tensor_that_is_not_contiguous_is_refused() {
    let Some(group) = group() else {
        all_succeed("collectives::a_tensor_that_is_not_contiguous_is_refused", 2);
        return;
    };
    let tensor = Tensor::zeros([2, 3], (Kind::Float, tch::Device::Cpu)).transpose(0, 1);
    let error = group.all_reduce(&tensor, Reduction::Sum).unwrap_err();
    assert!(matches!(error, GroupError::Tensor { .. }), "{error}");
    exchange(&group);
}
