use effnet_train::{Schedule, ScheduleShape, Warmup};

use crate::close;

fn schedule(shape: ScheduleShape, steps: u64, warmup: u64) -> Schedule {
    Schedule::new(
        0.1,
        steps,
        shape,
        Warmup {
            steps: warmup,
            from: 0.0,
        },
    )
    .unwrap()
}

#[test]
fn the_papers_staircase_falls_every_two_point_four_epochs() {
    let staircase = schedule(ScheduleShape::paper(100), 35_000, 0);
    assert_eq!(staircase.rate(0), 0.1);
    assert_eq!(staircase.rate(239), 0.1);
    close(staircase.rate(240), 0.1 * 0.97);
    close(staircase.rate(34_999), 0.1 * 0.97f64.powi(145));
}

#[test]
fn steps_of_the_warm_up_count_on_the_staircase() {
    let staircase = schedule(
        ScheduleShape::Staircase {
            factor: 0.5,
            every: 10.0,
        },
        100,
        15,
    );
    // The line ends where the staircase is by then.
    close(staircase.rate(14), 0.05 * 14.0 / 15.0);
    close(staircase.rate(15), 0.05);
    close(staircase.rate(20), 0.025);
}

#[test]
fn a_warm_up_is_a_straight_line_to_where_the_course_begins() {
    let warmup = Warmup { steps: 4, from: 0.02 };
    let constant = Schedule::new(0.1, 10, ScheduleShape::Constant, warmup).unwrap();
    for (step, rate) in [(0, 0.02), (1, 0.04), (2, 0.06), (3, 0.08), (4, 0.1), (9, 0.1)] {
        close(constant.rate(step), rate);
    }
    let one_cycle = Schedule::new(0.1, 100, ScheduleShape::ONE_CYCLE, warmup).unwrap();
    close(one_cycle.rate(4), 0.1 / 25.0);
}

#[test]
fn a_cosine_spans_the_steps_after_the_warm_up() {
    let cosine = schedule(ScheduleShape::Cosine { end: 0.2 }, 110, 10);
    close(cosine.rate(10), 0.1);
    close(cosine.rate(60), 0.06);
    close(cosine.rate(110), 0.02);
    close(cosine.rate(1000), 0.02);
}

#[test]
fn one_cycle_rises_and_falls_to_its_ends() {
    let cycle = schedule(
        ScheduleShape::OneCycle {
            rise: 0.25,
            div: 10.0,
            final_div: 100.0,
            momentum: Some([0.9, 0.8]),
        },
        100,
        0,
    );
    close(cycle.rate(0), 0.01);
    close(cycle.rate(12), 0.055);
    close(cycle.rate(24), 0.1);
    close(cycle.rate(99), 0.0001);
    close(cycle.rate(500), 0.0001);
    for (step, momentum) in [(0, 0.9), (12, 0.85), (24, 0.8), (99, 0.9), (500, 0.9)] {
        close(cycle.momentum(step).unwrap(), momentum);
    }
}

#[test]
fn the_momentum_stays_high_in_a_warm_up_and_is_the_optimizers_without_a_cycle() {
    let warm = schedule(ScheduleShape::ONE_CYCLE_WITH_MOMENTUM, 110, 10);
    for (step, momentum) in [(0, 0.95), (9, 0.95), (10, 0.95), (39, 0.85), (109, 0.95)] {
        close(warm.momentum(step).unwrap(), momentum);
    }
    for shape in [ScheduleShape::ONE_CYCLE, ScheduleShape::Constant] {
        assert_eq!(schedule(shape, 100, 0).momentum(50), None);
    }
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let refusal = |rate, steps, shape, warmup| {
        let warmup = Warmup {
            steps: warmup,
            from: 0.0,
        };
        Schedule::new(rate, steps, shape, warmup).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(0.0, 1, ScheduleShape::Constant, 0),
        "the learning rate is 0, expected above 0"
    );
    assert!(refusal(f64::NAN, 1, ScheduleShape::Constant, 0).starts_with("the learning rate is NaN"));
    assert_eq!(
        refusal(0.1, 0, ScheduleShape::Constant, 0),
        "the number of steps is 0, expected 1 or more"
    );
    assert!(refusal(0.1, 5, ScheduleShape::Constant, 5).starts_with("the warm-up is 5 of 5 steps"));
    assert_eq!(
        refusal(0.1, 5, ScheduleShape::Cosine { end: 1.5 }, 0),
        "the end of the cosine schedule is 1.5, expected 0 to 1"
    );
    let cycle = ScheduleShape::OneCycle {
        rise: 0.3,
        div: 25.0,
        final_div: 1e4,
        momentum: Some([0.95, 1.0]),
    };
    assert_eq!(
        refusal(0.1, 5, cycle, 0),
        "the momentum of the one-cycle schedule is [0.95, 1.0], expected 0 or more, less than 1"
    );
}
