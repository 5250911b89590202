//! Tests of a group with a single process. Larger groups are tested in the workspace's `tests` package.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use launch_environment::{Environment, Launcher, Master};
use libtorch_ext::training::BatchNormGroup;
use tch::{Device, Kind, Tensor};
use torch_c10d::{GroupError, ProcessGroup, ProcessGroupOptions, Reducer, Reduction, Store, SyncBatchNorm};

const TIMEOUT: Duration = Duration::from_secs(30);

fn master() -> Master {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Master {
        address: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    }
}

fn group() -> ProcessGroup {
    let environment = Environment {
        launcher: Launcher::Variables,
        rank: 0,
        world_size: 1,
        local_rank: 0,
        local_world_size: None,
        master: master(),
        agent_store: false,
        restart_count: 0,
        run_id: None,
    };
    let options = ProcessGroupOptions::default().with_timeout(TIMEOUT);
    ProcessGroup::connect(&environment, &options).unwrap()
}

#[test]
fn collectives_of_one_rank_give_its_own_values() {
    let group = group();
    for reduction in [Reduction::Sum, Reduction::Max, Reduction::Min] {
        let tensor = Tensor::from_slice(&[3i64, -1]);
        group.all_reduce(&tensor, reduction).unwrap();
        assert_eq!(Vec::<i64>::try_from(&tensor).unwrap(), [3, -1]);
    }
    let tensor = Tensor::from_slice(&[7i64]);
    group.broadcast(&tensor, 0).unwrap();
    assert!(group.all_gather(&tensor).unwrap()[0].equal(&tensor));
    assert_eq!(group.all_gather_bytes(b"own").unwrap(), [b"own"]);
    assert_eq!(group.broadcast_bytes(b"own", 0).unwrap(), b"own");
    assert!(group.any(true).unwrap() && !group.any(false).unwrap());
    group.barrier().unwrap();
}

#[test]
fn a_tensor_with_strides_is_refused() {
    let tensor = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).transpose(0, 1);
    let error = group().all_reduce(&tensor, Reduction::Sum).unwrap_err();
    assert!(matches!(error, GroupError::Tensor { .. }), "{error}");
}

#[test]
fn gradients_of_a_reducer_add_up_over_backward_passes() {
    let group = group();
    let weight = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let mut reducer = Reducer::new(&group, &[weight.shallow_clone()]).unwrap();
    for step in 1..=3 {
        reducer
            .backward(&(&weight * f64::from(step)).sum(Kind::Float))
            .unwrap();
    }
    let expected = Tensor::full([2, 3], 6.0, (Kind::Float, Device::Cpu));
    assert!(weight.grad().equal(&expected));
}

#[test]
fn the_sums_of_a_normalisation_are_those_of_the_rank() {
    let norms: Arc<dyn BatchNormGroup> = Arc::new(SyncBatchNorm::new(&group()).unwrap());
    let values = Tensor::from_slice(&[0.5, 2.0]);
    norms.sum(&values).unwrap();
    assert_eq!(Vec::<f64>::try_from(&values).unwrap(), [0.5, 2.0]);
}

#[test]
fn a_store_holds_values_by_name_and_prefix() {
    let store = Store::connect(&master(), true, TIMEOUT).unwrap();
    let part = store.prefixed("part").unwrap();
    part.set("key", b"value").unwrap();
    assert_eq!(part.reconnect().unwrap().get("key", TIMEOUT).unwrap(), b"value");
    assert_eq!(part.try_get("other").unwrap(), None);
    assert_eq!(store.try_get("key").unwrap(), None);
    assert!(store.set("zero\0byte", b"").is_err());
    assert!(store.get("other", Duration::from_millis(20)).is_err());
}
