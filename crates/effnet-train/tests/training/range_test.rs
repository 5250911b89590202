use effnet_train::{Error, OptimizerKind, RangeTest, Trainer, TrainerOptions};

use crate::{Turn, batch, first_difference, narrow, network, phase, turn, values};

fn trainer(turn: &Turn) -> Trainer {
    let options = TrainerOptions::default().with_seed(3);
    Trainer::new(
        network(&narrow(), 1, turn),
        options,
        vec![phase(OptimizerKind::SGD, 0.1, 9)],
    )
    .unwrap()
}

fn range_test() -> RangeTest {
    RangeTest::default().with_from(1e-5).with_to(10.0).with_steps(40)
}

fn run(trainer: &mut Trainer) -> effnet_train::RangeTestResult {
    range_test()
        .run(trainer, |index| Ok::<_, Error>(batch(index % 4, 16)))
        .unwrap()
}

#[test]
fn it_suggests_a_rate_that_trains() {
    let turn = turn();
    let mut trainer = trainer(&turn);
    let result = run(&mut trainer);
    assert!(result.suggestion > 1e-4 && result.suggestion < 1.0, "{result:?}");
    let phases = vec![phase(OptimizerKind::SGD, result.suggestion, 30)];
    let mut trained = Trainer::new(network(&narrow(), 1, &turn), TrainerOptions::default(), phases).unwrap();
    let losses: Vec<f64> = (0..30)
        .map(|_| trained.step(&[batch(0, 16)]).unwrap().loss)
        .collect();
    assert!(
        losses[29] < 0.7 * losses[0],
        "{losses:?} at {}",
        result.suggestion
    );
}

#[test]
fn it_is_deterministic_and_puts_everything_back() {
    let turn = turn();
    let mut trainer = trainer(&turn);
    trainer.step(&[batch(0, 16)]).unwrap();
    let (before, position) = (values(trainer.network()), trainer.position());
    let first = run(&mut trainer);
    assert_eq!(first_difference(&before, &values(trainer.network())), None);
    assert_eq!(trainer.position(), position);
    assert_eq!(run(&mut trainer), first);
    // The optimizer's momentum is that of the one step.
    let mut other = self::trainer(&turn);
    other.step(&[batch(0, 16)]).unwrap();
    trainer.step(&[batch(1, 16)]).unwrap();
    other.step(&[batch(1, 16)]).unwrap();
    assert_eq!(
        first_difference(&values(trainer.network()), &values(other.network())),
        None
    );
}

#[test]
fn an_error_of_the_data_ends_it_and_everything_is_put_back() {
    let turn = turn();
    let mut trainer = trainer(&turn);
    let before = values(trainer.network());
    let missing = |index| {
        if index < 5 {
            Ok(batch(0, 16))
        } else {
            Err(Error::Torch(tch::TchError::Convert("gone".to_owned())))
        }
    };
    let error = range_test().run(&mut trainer, missing).unwrap_err();
    assert!(error.to_string().contains("gone"));
    assert_eq!(first_difference(&before, &values(trainer.network())), None);
}
