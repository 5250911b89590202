//! Groups of processes with a device each.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use effnet_tests::free_port;
use launch_environment::{Environment, Launcher, Master};
use libtorch_ext::training::{BatchNorm, BatchNormGroup, sync_batch_norm};
use tch::{Cuda, Device, Kind, Tensor};
use torch_c10d::{GroupError, ProcessGroup, ProcessGroupOptions, Reducer, Reduction, SyncBatchNorm};

use crate::{CPU, CUDA, assert_near, device};

fn connect(environment: &Environment) -> Result<ProcessGroup, GroupError> {
    let options = ProcessGroupOptions::default()
        .with_timeout(Duration::from_secs(60))
        .with_device(Device::Cuda(environment.local_rank));
    ProcessGroup::connect(environment, &options)
}

/// A group of this process alone; `None` without NCCL's library, after saying so.
fn alone(test: &str) -> Option<ProcessGroup> {
    let environment = Environment {
        launcher: Launcher::Variables,
        rank: 0,
        world_size: 1,
        local_rank: 0,
        local_world_size: None,
        master: Master {
            address: "127.0.0.1".to_owned(),
            port: free_port(),
        },
        agent_store: false,
        restart_count: 0,
        run_id: None,
    };
    match connect(&environment) {
        Ok(group) => Some(group),
        Err(error) if error.to_string().contains("libeffnet_nccl.so not found") => {
            effnet_tests::skip(test, &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What ranks exchange, with numbers that tell them apart.
fn exchange(group: &ProcessGroup) {
    let (rank, world_size) = (group.rank() as i64, group.world_size() as i64);
    let on = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(group.device());
    let values = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();

    let tensor = on(&[rank, 1]);
    group.all_reduce(&tensor, Reduction::Sum).unwrap();
    assert_eq!(values(&tensor), [world_size * (world_size - 1) / 2, world_size]);
    let tensor = on(&[rank + 7]);
    group.broadcast(&tensor, world_size as usize - 1).unwrap();
    assert_eq!(values(&tensor), [world_size + 6]);
    let all = group.all_gather(&on(&[rank])).unwrap();
    assert_eq!(
        all.iter().flat_map(values).collect::<Vec<_>>(),
        (0..world_size).collect::<Vec<_>>()
    );
    // The CPU's tensors go on beside.
    let tensor = Tensor::from_slice(&[1i64]);
    group.all_reduce(&tensor, Reduction::Sum).unwrap();
    assert_eq!(values(&tensor), [world_size]);

    let weight = (Tensor::ones([3, 5], (Kind::Float, group.device())) * 0.5).set_requires_grad(true);
    let mut reducer = Reducer::new(group, &[weight.shallow_clone()]).unwrap();
    for step in 1..=3 {
        let factor = (rank + step) as f64;
        reducer.backward(&(&weight * factor).sum(Kind::Float)).unwrap();
        let expected: i64 = (0..world_size).map(|rank| rank + step).sum();
        let all = Tensor::full([3, 5], expected as f64, CPU);
        assert!(weight.grad().to_device(Device::Cpu).equal(&all));
        let _ = weight.grad().zero_();
    }
}

#[test]
fn a_group_of_one_exchanges_tensors_of_its_device() {
    let test = "a_group_of_one_exchanges_tensors_of_its_device";
    let Some(_turn) = device(test) else { return };
    if let Some(group) = alone(test) {
        exchange(&group);
    }
}

#[test]
fn two_devices_exchange_tensors() {
    let test = "nccl::two_devices_exchange_tensors";
    let Some(_turn) = device(test) else { return };
    if let Some(environment) = Environment::from_env().unwrap() {
        return exchange(&connect(&environment).unwrap());
    }
    if Cuda::device_count() < 2 {
        return effnet_tests::skip(test, "this machine has one device");
    }
    if alone(test).is_none() {
        return;
    }
    let port = free_port().to_string();
    let start = |rank: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .envs([("RANK", rank.to_string()), ("LOCAL_RANK", rank.to_string())])
            .envs([
                ("WORLD_SIZE", "2"),
                ("MASTER_ADDR", "127.0.0.1"),
                ("MASTER_PORT", &port),
            ])
            .spawn()
            .unwrap()
    };
    for mut rank in [0, 1].map(start) {
        assert!(rank.wait().unwrap().success());
    }
}

#[test]
fn a_device_normalises_over_ranks_as_libtorch_does_alone() {
    let test = "a_device_normalises_over_ranks_as_libtorch_does_alone";
    let Some(_turn) = device(test) else { return };
    let Some(group) = alone(test) else { return };
    let drawn = |shape: &[i64]| Tensor::randn(shape, CPU);
    let (x, upstream) = (drawn(&[4, 6, 5, 5]) + 2.0, drawn(&[4, 6, 5, 5]));
    let (weight, bias) = (drawn(&[6]), drawn(&[6]));
    let of = |on: Device, normalise: &dyn Fn(&Tensor, &BatchNorm<'_>) -> Tensor| {
        let leaf = |tensor: &Tensor| tensor.to_device(on).detach().copy().set_requires_grad(true);
        let (x, weight, bias) = (leaf(&x), leaf(&weight), leaf(&bias));
        let (mean, variance) = (
            Tensor::zeros([6], (Kind::Float, on)),
            Tensor::ones([6], (Kind::Float, on)),
        );
        let norm = BatchNorm {
            weight: &weight,
            bias: &bias,
            running_mean: &mean,
            running_var: &variance,
            momentum: 0.1,
            epsilon: 1e-3,
            group: None,
        };
        let out = normalise(&x, &norm);
        (&out * upstream.to_device(on)).sum(Kind::Float).backward();
        [out, x.grad(), weight.grad(), bias.grad(), mean, variance]
    };
    let expected = of(Device::Cpu, &|x, norm| {
        let (weight, bias) = (Some(norm.weight), Some(norm.bias));
        let (mean, variance) = (Some(norm.running_mean), Some(norm.running_var));
        Tensor::batch_norm(
            x,
            weight,
            bias,
            mean,
            variance,
            true,
            norm.momentum,
            norm.epsilon,
            false,
        )
    });
    let group: Arc<dyn BatchNormGroup> = Arc::new(SyncBatchNorm::new(&group).unwrap());
    let found = of(CUDA, &|x, norm| {
        let group = Some(&group);
        sync_batch_norm(x, &BatchNorm { group, ..*norm }).unwrap()
    });
    for (found, expected) in found.iter().zip(&expected) {
        assert_near(found, expected, 1e-5);
    }
}
