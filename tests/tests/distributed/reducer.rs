//! Gradients of several ranks are those of the joined batch.

use tch::nn::{self, Module as _};
use tch::{Device, Kind, Tensor};
use torch_c10d::{ProcessGroup, Reducer};

use super::ranks::{all_succeed, group};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Seventeen rows, of which rank `r` of three has `[6, 6, 5]`.
const ROWS: i64 = 17;

struct Problem {
    net: nn::Sequential,
    parameters: Vec<Tensor>,
    inputs: Tensor,
    targets: Tensor,
    _store: nn::VarStore,
}

impl Problem {
    /// The same on every rank.
    fn new() -> Self {
        tch::manual_seed(3);
        let store = nn::VarStore::new(Device::Cpu);
        let root = store.root();
        let net = nn::seq()
            .add(nn::linear(&root / "a", 40, 300, nn::LinearConfig::default()))
            .add_fn(Tensor::tanh)
            .add(nn::linear(&root / "b", 300, 5000, nn::LinearConfig::default()))
            .add_fn(Tensor::tanh)
            .add(nn::linear(&root / "c", 5000, 1, nn::LinearConfig::default()));
        let mut named: Vec<(String, Tensor)> = store.variables().into_iter().collect();
        named.sort_by(|left, right| left.0.cmp(&right.0));
        Self {
            net,
            parameters: named.into_iter().map(|(_, tensor)| tensor).collect(),
            inputs: Tensor::randn([ROWS, 40], CPU),
            targets: Tensor::randn([ROWS, 1], CPU),
            _store: store,
        }
    }

    /// The mean over these rows.
    fn loss(&self, start: i64, rows: i64) -> Tensor {
        let difference =
            self.net.forward(&self.inputs.narrow(0, start, rows)) - self.targets.narrow(0, start, rows);
        difference.square().mean(Kind::Float)
    }

    fn clear(&self) {
        for parameter in &self.parameters {
            let mut gradient = parameter.grad();
            if gradient.defined() {
                let _ = gradient.zero_();
            }
        }
    }

    fn gradients(&self) -> Vec<Tensor> {
        self.parameters
            .iter()
            .map(|parameter| parameter.grad().copy())
            .collect()
    }
}

fn rows(group: &ProcessGroup) -> (i64, i64) {
    let (rank, world_size) = (group.rank() as i64, group.world_size() as i64);
    let size = (ROWS + world_size - 1) / world_size;
    (rank * size, size.min(ROWS - rank * size))
}

#[test]
fn gradients_are_those_of_the_joined_batch_with_unequal_shares() {
    let Some(group) = group() else {
        for world_size in [1, 2, 3] {
            all_succeed(
                "reducer::gradients_are_those_of_the_joined_batch_with_unequal_shares",
                world_size,
            );
        }
        return;
    };
    let problem = Problem::new();
    problem.loss(0, ROWS).backward();
    let expected = problem.gradients();
    let mut reducer = Reducer::new(&group, &problem.parameters).unwrap();
    let (start, rows) = rows(&group);
    for step in 0..3 {
        problem.clear();
        let loss = problem.loss(start, rows) * (rows as f64 / ROWS as f64);
        reducer.backward(&loss).unwrap();
        for (found, expected) in problem.gradients().iter().zip(&expected) {
            let error = (found - expected).norm().double_value(&[]) / expected.norm().double_value(&[]);
            assert!(error < 1e-5, "step {step}: {error:.1e}");
            let all = group.all_gather(found).unwrap();
            assert!(all.iter().all(|other| other.equal(found)), "not the same bits");
        }
    }
}

#[test]
fn backward_passes_before_the_last_one_are_added_up_on_their_rank() {
    let Some(group) = group() else {
        all_succeed(
            "reducer::backward_passes_before_the_last_one_are_added_up_on_their_rank",
            2,
        );
        return;
    };
    let problem = Problem::new();
    let mut reducer = Reducer::new(&group, &problem.parameters).unwrap();
    let (start, rows) = rows(&group);
    // In two parts, the first of which nothing is sent of.
    (problem.loss(start, 3) * (3.0 / ROWS as f64)).backward();
    let rest = problem.loss(start + 3, rows - 3) * ((rows - 3) as f64 / ROWS as f64);
    reducer.backward(&rest).unwrap();
    let found = problem.gradients();
    drop(reducer);
    problem.clear();
    problem.loss(0, ROWS).backward();
    for (found, expected) in found.iter().zip(problem.gradients()) {
        let error = (found - &expected).norm().double_value(&[]) / expected.norm().double_value(&[]);
        assert!(error < 1e-5, "{error:.1e}");
    }
}

#[test]
fn ranks_with_other_parameters_are_refused() {
    let Some(group) = group() else {
        all_succeed("reducer::ranks_with_other_parameters_are_refused", 2);
        return;
    };
    let length = 3 + group.rank() as i64;
    let parameter = Tensor::zeros([length], CPU).set_requires_grad(true);
    let error = Reducer::new(&group, &[parameter]).unwrap_err().to_string();
    assert!(error.contains(&format!("rank {}", group.rank())), "{error}");
}
