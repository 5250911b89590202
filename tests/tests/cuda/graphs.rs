//! Recording and replaying.

use libtorch_ext::{CudaGraph, Error};
use tch::{Device, Kind, TchError, Tensor};

use crate::{CPU, CUDA, device};

#[derive(Debug)]
struct Failed(String);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<TchError> for Failed {
    fn from(error: TchError) -> Self {
        Self(error.to_string())
    }
}

/// Whether graphs can be recorded here, after saying so if not.
fn available(test: &str) -> bool {
    CudaGraph::available()
        .inspect_err(|reason| effnet_tests::skip(test, &reason.to_string()))
        .is_ok()
}

fn value(tensor: &Tensor) -> f64 {
    tensor.to_device(Device::Cpu).double_value(&[0])
}

#[test]
fn a_replay_reads_what_its_input_holds_then() {
    let test = "a_replay_reads_what_its_input_holds_then";
    let Some(_turn) = device(test).filter(|_| available(test)) else {
        return;
    };
    let mut input = Tensor::zeros([1000], (Kind::Float, CUDA));
    let work = |input: &Tensor| -> Result<Tensor, Failed> { Ok((input * 2.0).f_add_scalar(1.0)?) };
    let _ = work(&input).unwrap();
    let (graph, output) = CudaGraph::record(0, None, || work(&input)).unwrap();
    let (other, negative) = CudaGraph::record(0, Some(&graph), || Ok::<_, Failed>(-&input)).unwrap();
    for number in [3.0, 4.0] {
        input.copy_(&Tensor::full([1000], number, CPU));
        graph.replay().unwrap();
        assert_eq!(value(&output), 2.0 * number + 1.0);
        other.replay().unwrap();
        assert_eq!(value(&negative), -number);
    }
    drop(graph);
    other.replay().unwrap();
    assert_eq!(value(&negative), -4.0);
}

#[test]
fn a_recording_that_fails_leaves_the_device_as_it_was() {
    let test = "a_recording_that_fails_leaves_the_device_as_it_was";
    let Some(_turn) = device(test).filter(|_| available(test)) else {
        return;
    };
    let input = Tensor::ones([1000], (Kind::Float, CUDA));
    let own = CudaGraph::record(0, None, || -> Result<(), Failed> {
        let _ = &input + 1.0;
        Err(Failed("of its own accord".to_owned()))
    });
    assert_eq!(own.unwrap_err().0, "of its own accord");
    // The number can be known only after the work was done, which it is not while recording.
    let waits = CudaGraph::record(0, None, || -> Result<Tensor, Failed> {
        Ok((&input + 1.0).f_to_device(Device::Cpu)?)
    });
    assert!(waits.is_err());
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        CudaGraph::record(0, None, || -> Result<(), Failed> {
            let _ = &input + 1.0;
            panic!("in the middle")
        })
    }));
    assert!(panics.is_err());

    assert_eq!(value(&(&input + 1.0)), 2.0);
    let (graph, output) = CudaGraph::record(0, None, || Ok::<_, Failed>(&input + 5.0)).unwrap();
    graph.replay().unwrap();
    assert_eq!(value(&output), 6.0);
}
