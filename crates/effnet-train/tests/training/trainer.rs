use effnet_core::Config;
use effnet_train::{
    Batch, EmaOptions, Error, Freeze, OptimizerKind, ParamGroupOptions, Phase, Targets, Trainer,
    TrainerOptions,
};
use tch::{Kind, Tensor};

use crate::{Turn, batch, close, first_difference, narrow, network, parameter, phase, turn, values};

fn trainer(config: &Config, seed: u64, phases: Vec<Phase>, turn: &Turn) -> Trainer {
    let options = TrainerOptions::default().with_seed(seed);
    Trainer::new(network(config, 1, turn), options, phases).unwrap()
}

fn accuracy(trainer: &Trainer, batch: &Batch) -> f64 {
    let found = trainer.evaluate(&batch.images).unwrap().argmax(1, false);
    let right = found.eq_tensor(batch.targets.tensor());
    right.to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

#[test]
fn sixteen_images_are_learnt_by_heart() {
    let turn = turn();
    // Running statistics that follow at once: evaluation is what is tested.
    let config = Config {
        batch_norm_momentum: 0.1,
        dropout_rate: 0.0,
        ..narrow()
    };
    for (kind, rate) in [
        (OptimizerKind::SGD, 0.05),
        (OptimizerKind::ADAM_W, 0.005),
        (OptimizerKind::RMS_PROP_TF, 0.005),
    ] {
        let mut trainer = trainer(&config, 1, vec![phase(kind, rate, 100)], &turn);
        let images = batch(7, 16);
        while !trainer.is_finished() {
            trainer.step(std::slice::from_ref(&images)).unwrap();
        }
        assert_eq!(accuracy(&trainer, &images), 1.0, "{kind:?}");
    }
}

/// The classifier alone, so that batch statistics have no part in it.
#[test]
fn a_step_in_parts_is_a_step_on_the_whole() {
    let turn = turn();
    let config = Config {
        dropout_rate: 0.0,
        drop_connect_rate: 0.0,
        batch_norm_momentum: 0.5,
        ..narrow()
    };
    let groups = ParamGroupOptions::default().with_freeze(Freeze::Features);
    let phases = || {
        vec![Phase {
            groups,
            ..phase(OptimizerKind::SGD, 0.5, 3)
        }]
    };
    let (mut whole, mut parts) = (
        trainer(&config, 1, phases(), &turn),
        trainer(&config, 1, phases(), &turn),
    );
    let all = batch(3, 12);
    // Statistics of these images: with those of a new network, all features are nearly zero.
    for trainer in [&whole, &parts] {
        for _ in 0..8 {
            let _ = tch::no_grad(|| trainer.network().forward(&all.images, true)).unwrap();
        }
    }
    let part = |from: i64, count: i64| {
        let classes = all.targets.tensor().narrow(0, from, count);
        Batch::new(all.images.narrow(0, from, count), Targets::Classes(classes))
    };
    let one = whole.step(std::slice::from_ref(&all)).unwrap();
    let two = parts.step(&[part(0, 5), part(5, 7)]).unwrap();
    close(two.loss, one.loss);
    close(two.gradient_norm, one.gradient_norm);
    assert!(one.gradient_norm > 0.1, "{one:?}");
    let difference = parameter(whole.network(), "_fc.weight") - parameter(parts.network(), "_fc.weight");
    assert!(difference.abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn a_linear_probe_leaves_everything_else_as_it_was() {
    let turn = turn();
    let groups = ParamGroupOptions::default().with_freeze(Freeze::Features);
    let phases = vec![Phase {
        groups,
        ..phase(OptimizerKind::SGD, 0.5, 3)
    }];
    let mut trainer = trainer(&narrow(), 1, phases, &turn);
    let before = values(trainer.network());
    trainer.step(&[batch(0, 8)]).unwrap();
    let after = values(trainer.network());
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before.equal(after), !name.starts_with("_fc"), "{name}");
    }
}

#[test]
fn clipping_bounds_the_step_and_reports_the_norm_before_it() {
    let turn = turn();
    let network = network(&narrow(), 1, &turn);
    let options = TrainerOptions::default().with_clip_norm(1e-3);
    let kind = OptimizerKind::Sgd {
        momentum: 0.0,
        nesterov: false,
    };
    let groups = ParamGroupOptions::default().with_weight_decay(0.0);
    let phases = vec![Phase {
        groups,
        ..phase(kind, 1.0, 1)
    }];
    let mut trainer = Trainer::new(network, options, phases).unwrap();
    let before = values(trainer.network());
    let step = trainer.step(&[batch(0, 8)]).unwrap();
    assert!(step.gradient_norm > 1e-2, "{step:?}");
    let moved = before.iter().zip(trainer.network().named_tensors());
    let moved = moved.filter(|(_, (_, now))| now.requires_grad());
    let squares = moved.map(|((_, before), (_, now))| (now - before).square().sum(Kind::Double));
    close(
        squares.map(|sum| sum.double_value(&[])).sum::<f64>().sqrt() / 1e-3,
        1.0,
    );
}

#[test]
fn equal_seeds_draw_equal_masks_and_others_do_not() {
    let turn = turn();
    let run = |seed| {
        let mut trainer = trainer(&narrow(), seed, vec![phase(OptimizerKind::SGD, 0.1, 3)], &turn);
        for number in 0..3 {
            // What else draws in between does not matter.
            let _ = Tensor::rand([number + 1], (Kind::Float, tch::Device::Cpu));
            trainer.step(&[batch(number as usize, 8)]).unwrap();
        }
        values(trainer.network())
    };
    assert_eq!(first_difference(&run(5), &run(5)), None);
    assert!(first_difference(&run(5), &run(6)).is_some());
}

#[test]
fn phases_follow_each_other_by_themselves() {
    let turn = turn();
    let frozen = ParamGroupOptions::default().with_freeze(Freeze::Convolutions);
    let phases = vec![
        Phase {
            groups: frozen,
            ..phase(OptimizerKind::ADAM_W, 0.01, 2)
        },
        phase(OptimizerKind::SGD, 0.02, 3),
    ];
    let mut trainer = trainer(&narrow(), 1, phases, &turn);
    assert_eq!(trainer.total_steps(), 5);
    let stem = |trainer: &Trainer| parameter(trainer.network(), "_conv_stem.weight").detach().copy();
    let at_start = stem(&trainer);
    let rates: Vec<f64> = (0..2)
        .map(|_| trainer.step(&[batch(0, 8)]).unwrap().rate)
        .collect();
    assert_eq!(rates, [0.01, 0.01]);
    assert!(stem(&trainer).equal(&at_start));
    assert_eq!((trainer.position().phase, trainer.rate()), (1, 0.02));
    trainer.step(&[batch(0, 8)]).unwrap();
    assert!(!stem(&trainer).equal(&at_start));
    assert!(!trainer.is_finished());
    for _ in 0..2 {
        trainer.step(&[batch(0, 8)]).unwrap();
    }
    assert!(trainer.is_finished());
}

#[test]
fn an_average_is_what_is_evaluated() {
    let turn = turn();
    let ema = EmaOptions::default().with_decay(0.5).with_warmup(false);
    let options = TrainerOptions::default().with_ema(ema);
    let mut trainer = Trainer::new(
        network(&narrow(), 1, &turn),
        options,
        vec![phase(OptimizerKind::SGD, 0.1, 3)],
    )
    .unwrap();
    let before = values(trainer.network());
    trainer.step(&[batch(0, 8)]).unwrap();
    let halfway = (&before[0].1 + parameter(trainer.network(), &before[0].0)) / 2.0;
    let difference = parameter(trainer.evaluated(), &before[0].0) - halfway;
    assert!(difference.abs().max().double_value(&[]) < 1e-6);
    let images = batch(0, 4).images;
    let logits = trainer.evaluated().forward(&images, false).unwrap();
    assert!(
        (trainer.evaluate(&images).unwrap() - logits)
            .abs()
            .max()
            .double_value(&[])
            < 1e-5
    );
}

#[test]
fn an_epochs_mean_loss_is_over_its_images() {
    let turn = turn();
    let mut trainer = trainer(&narrow(), 1, vec![phase(OptimizerKind::SGD, 0.01, 9)], &turn);
    let first = trainer.step(&[batch(0, 12)]).unwrap().loss;
    let second = trainer.step(&[batch(1, 4)]).unwrap().loss;
    assert_eq!(
        (trainer.position().epoch_step, trainer.running_loss().images()),
        (2, 16)
    );
    close(trainer.end_epoch().unwrap(), (12.0 * first + 4.0 * second) / 16.0);
    let position = trainer.position();
    assert_eq!((position.epoch, position.epoch_step, position.step), (1, 0, 2));
    assert_eq!(trainer.running_loss().mean(), None);
}

#[test]
fn a_loss_that_is_no_number_stops_before_the_parameters_are_touched() {
    let turn = turn();
    let mut trainer = trainer(&narrow(), 1, vec![phase(OptimizerKind::SGD, 0.25, 9)], &turn);
    trainer.step(&[batch(0, 8)]).unwrap();
    trainer.end_epoch();
    trainer.note_checkpoint("run/last.state");
    let before = parameter(trainer.network(), "_fc.weight").detach().copy();
    let mut bad = batch(1, 8);
    let _ = bad.images.fill_(f64::NAN);
    let error = trainer.step(&[bad]).unwrap_err();
    assert!(matches!(error, Error::Diverged(_)));
    assert_eq!(
        error.to_string(),
        "the loss is NaN at step 1 (epoch 1) with a learning rate of 2.500e-1; the last good checkpoint is \
         run/last.state; try a lower learning rate, a longer warm-up or gradient clipping"
    );
    assert!(parameter(trainer.network(), "_fc.weight").detach().equal(&before));
}

#[test]
fn an_empty_batch_is_refused() {
    let turn = turn();
    let mut trainer = trainer(&narrow(), 1, vec![phase(OptimizerKind::SGD, 0.25, 9)], &turn);
    let error = trainer.step(&[]).unwrap_err().to_string();
    assert_eq!(error, "the batch has the shape [0], expected at least one image");
}

#[test]
fn a_trainer_without_phases_is_refused() {
    let turn = turn();
    let network = network(&narrow(), 1, &turn);
    let error = Trainer::new(network, TrainerOptions::default(), Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the number of phases is 0, expected 1 or more");
}
