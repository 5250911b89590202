//! A group of ranks of this program and of PyTorch.

use std::process::Command;
use std::time::Duration;

use effnet_tests::{free_port, interpreter, skip};
use tch::{Kind, Tensor};
use torch_c10d::{ProcessGroup, ProcessGroupOptions, Protocol, Reduction};

use super::ranks::{Ranks, command, environment, place};

const TEST: &str = "python::a_rank_of_pytorch_and_two_of_this_program_exchange_tensors";
/// The rank of PyTorch: once with the store, once without.
const PYTHON: [usize; 2] = [0, 1];

#[test]
fn a_rank_of_pytorch_and_two_of_this_program_exchange_tensors() {
    if environment().is_some() {
        return exchange();
    }
    let python = match interpreter() {
        Ok(python) => python,
        Err(reason) => return skip(TEST, &reason),
    };
    for python_rank in PYTHON {
        let port = free_port();
        let ranks = (0..3).map(|rank| {
            if rank != python_rank {
                return command(TEST, rank, 3, port);
            }
            let mut command = Command::new(&python);
            command.arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../scripts/reference/distributed_rank.py"
            ));
            place(&mut command, rank, 3, port);
            command
        });
        for (rank, ended) in Ranks::of(ranks).end().iter().enumerate() {
            assert_eq!(ended.code, Some(0), "rank {rank}: {}", ended.output);
        }
    }
}

/// As scripts/reference/distributed_rank.py does.
fn exchange() {
    let options = ProcessGroupOptions::default()
        .with_timeout(Duration::from_secs(60))
        .with_protocol(Protocol::PyTorch);
    let group = ProcessGroup::connect(&environment().unwrap(), &options).unwrap();
    let rank = group.rank() as f32;
    let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.to_kind(Kind::Float)).unwrap();

    let tensor = Tensor::from_slice(&[rank, 10.0 * rank, 0.25]);
    group.all_reduce(&tensor, Reduction::Sum).unwrap();
    assert_eq!(values(&tensor), [3.0, 30.0, 0.75]);

    for root in 0..3 {
        let tensor = Tensor::from_slice(&[group.rank() as i64 + 5; 4]);
        group.broadcast(&tensor, root).unwrap();
        assert_eq!(values(&tensor), [root as f32 + 5.0; 4]);
    }

    let gathered = group
        .all_gather(&Tensor::from_slice(&[f64::from(rank); 2]))
        .unwrap();
    let gathered: Vec<Vec<f32>> = gathered.iter().map(values).collect();
    assert_eq!(gathered, [vec![0.0; 2], vec![1.0; 2], vec![2.0; 2]]);
    group.barrier().unwrap();
}
