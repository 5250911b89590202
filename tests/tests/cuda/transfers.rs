//! Copies beside the computation.

use libtorch_ext::{CopyStream, Download, device_memory};
use tch::{Kind, Tensor};

use crate::{CPU, CUDA, device};

#[test]
fn a_tensor_comes_back_as_it_went() {
    let Some(_turn) = device("a_tensor_comes_back_as_it_went") else {
        return;
    };
    let stream = CopyStream::new(0).unwrap();
    let image = Tensor::randn([3, 4, 50, 70], CPU);
    for tensor in [
        image.permute([0, 2, 3, 1]),
        image.narrow(3, 5, 20),
        image.narrow(1, 0, 1).expand([3, 4, 50, 70], false),
        image.to_kind(Kind::Half),
        Tensor::from_slice(&[7i64]),
        Tensor::zeros([0, 3], CPU),
        image,
    ] {
        let there = stream.upload(&tensor).unwrap();
        assert_eq!((there.device(), there.size()), (CUDA, tensor.size()));
        let back = Download::start(&there).unwrap().wait().unwrap();
        assert!(back.kind() == tensor.kind() && back.equal(&tensor));
    }
}

#[test]
fn what_is_computed_with_an_upload_waits_for_it() {
    let Some(_turn) = device("what_is_computed_with_an_upload_waits_for_it") else {
        return;
    };
    let stream = CopyStream::new(0).unwrap();
    let mut under_way = Vec::new();
    for number in 0..50 {
        let tensor = Tensor::full([1 << 20], f64::from(number), CPU);
        // Uploads and results are given up at once: their memory must not be used too early.
        let doubled = stream.upload(&tensor).unwrap() * 2.0;
        under_way.push((number, Download::start(&doubled).unwrap()));
        if number % 7 == 0 {
            drop(Download::start(&doubled).unwrap());
        }
    }
    for (number, download) in under_way {
        let found = download.wait().unwrap();
        assert!(
            found.equal(&Tensor::full([1 << 20], 2.0 * f64::from(number), CPU)),
            "{number}"
        );
    }
}

#[test]
fn the_memory_of_a_device_is_told() {
    let Some(_turn) = device("the_memory_of_a_device_is_told") else {
        return;
    };
    let bytes = 64 << 20;
    let held = Tensor::zeros([bytes], (Kind::Uint8, CUDA));
    let memory = device_memory(0).unwrap();
    assert!(memory.free < memory.total && memory.total >= bytes as u64);
    assert!(memory.peak >= bytes as u64, "{memory:?}");
    drop(held);
    assert!(device_memory(0).unwrap().peak >= memory.peak);
}
