//! The threads that run networks: they take batches from the queue and send each image's answer back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use effnet::{BackendError, ExplainMethod, ExplainedClasses, Images};

use crate::metrics::{Metrics, Stage};
use crate::queue::{Answer, Batch, Job, Queue, Task};
use crate::work_error::WorkError;

/// Runs batches until the queue is closed and empty.
pub(crate) fn run(queue: &Queue, metrics: &Metrics) {
    let mut runner = Runner {
        metrics,
        gathered: Vec::new(),
    };
    while let Some(batch) = queue.take() {
        // A panic would leave the other threads waiting for this one.
        let run = AssertUnwindSafe(|| runner.run(batch));
        let _ = catch_unwind(run);
        queue.done();
    }
}

struct Runner<'a> {
    metrics: &'a Metrics,
    /// Pixels of a batch, contiguous; the memory is reused.
    gathered: Vec<f32>,
}

impl Runner<'_> {
    fn run(&mut self, Batch { jobs, is_alone }: Batch) {
        let start = Instant::now();
        for job in &jobs {
            self.metrics.observe(Stage::Queue, start - job.queued);
        }
        let Some(task) = jobs.first().map(|job| job.task) else {
            return;
        };
        match task {
            Task::Logits | Task::Features => self.run_rows(jobs, is_alone),
            Task::Explain(classes, method) => {
                for job in jobs {
                    self.explain(job, (classes, method), is_alone);
                }
            }
        }
    }

    /// Runs a batch, or its halves if memory runs out.
    fn run_rows(&mut self, jobs: Vec<Job>, is_alone: bool) {
        let mut parts = vec![jobs];
        while let Some(mut jobs) = parts.pop() {
            let start = Instant::now();
            match self.rows(&jobs, is_alone) {
                Ok(rows) => {
                    self.finished(&jobs, start);
                    for (job, row) in jobs.into_iter().zip(rows) {
                        job.ticket.answer(Ok(Answer::Row(row)));
                    }
                }
                Err(error) if error.is_out_of_memory() && jobs.len() > 1 => {
                    let half = jobs.len() / 2;
                    jobs[0].model.reduce_batch_size(half);
                    self.metrics.batch_halved();
                    let rest = jobs.split_off(half);
                    parts.extend([rest, jobs]);
                }
                Err(error) => {
                    let error = WorkError::from(error);
                    for job in jobs {
                        job.ticket.answer(Err(error.clone()));
                    }
                }
            }
        }
    }

    fn rows(&mut self, jobs: &[Job], is_alone: bool) -> Result<Vec<Vec<f32>>, BackendError> {
        let Some(first) = jobs.first() else {
            return Ok(Vec::new());
        };
        let model = &*first.model;
        let backend = match first.task {
            Task::Features => model.features(is_alone),
            _ => model.logits(is_alone),
        };
        let side = model.transform().image_size;
        let pixels = if jobs.len() == 1 {
            &first.pixels
        } else {
            self.gathered.clear();
            for job in jobs {
                self.gathered.extend_from_slice(&job.pixels);
            }
            &self.gathered
        };
        let rows = backend.run(Images::new(pixels, [jobs.len(), 3, side, side])?)?;
        if rows.count() != jobs.len() {
            return Err(BackendError::Rows {
                images: jobs.len(),
                found: rows.count(),
            });
        }
        Ok(rows.iter().map(<[f32]>::to_vec).collect())
    }

    fn explain(&self, job: Job, (classes, method): (ExplainedClasses, ExplainMethod), is_alone: bool) {
        let start = Instant::now();
        let side = job.model.transform().image_size;
        let explained = job.model.explainer(method, is_alone).and_then(|explainer| {
            let images = Images::new(&job.pixels, [1, 3, side, side])?;
            explainer.explain(
                images,
                classes,
                job.model.model().labels(),
                &AtomicBool::new(false),
            )
        });
        self.finished(std::slice::from_ref(&job), start);
        let answer = explained.map(|explanation| Answer::Explanation(Box::new(explanation)));
        job.ticket.answer(answer.map_err(WorkError::from));
    }

    fn finished(&self, jobs: &[Job], start: Instant) {
        self.metrics.observe(Stage::Compute, start.elapsed());
        if let Some(first) = jobs.first() {
            self.metrics.batch(first.model.name(), jobs.len());
        }
    }
}

/// Starts `count` threads that run networks.
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn start(
    count: usize,
    queue: &Arc<Queue>,
    metrics: &Arc<Metrics>,
) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
    let threads = (0..count.max(1)).map(|_| {
        let (queue, metrics) = (Arc::clone(queue), Arc::clone(metrics));
        std::thread::Builder::new()
            .name("effnet-network".to_owned())
            .spawn(move || run(&queue, &metrics))
    });
    threads.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use effnet::{Backend, MemoryNeed, Model, Pending, Precision, Rows};
    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::ServedModel;
    use crate::queue::Ticket;

    /// A network whose memory holds two images; the result of an image is its first number.
    #[derive(Default)]
    struct Small(Arc<Mutex<Vec<usize>>>);

    impl Backend for Small {
        fn submit(&self, images: Images<'_>) -> Result<Pending, BackendError> {
            self.0.lock().unwrap().push(images.count());
            if images.count() > 2 {
                return Err(BackendError::OutOfMemory("of two images".to_owned()));
            }
            let each = images.pixels().len() / images.count();
            let values = images.pixels().chunks(each).map(|pixels| pixels[0]).collect();
            Ok(Pending::done(Rows::new(values, images.count())?))
        }

        fn engine(&self) -> &'static str {
            "small"
        }

        fn kernels(&self) -> String {
            String::new()
        }

        fn precision(&self) -> Precision {
            Precision::Fp32
        }

        fn memory_need(&self, _: [usize; 2]) -> Result<MemoryNeed, BackendError> {
            Ok(MemoryNeed {
                fixed: 0,
                per_image: 1,
            })
        }
    }

    struct Fixture {
        queue: Arc<Queue>,
        model: Arc<ServedModel>,
        places: Arc<Semaphore>,
        calls: Arc<Mutex<Vec<usize>>>,
    }

    impl Fixture {
        fn new(batch_size: usize, runners: usize, delay: Duration) -> Self {
            let small = Small::default();
            let calls = Arc::clone(&small.0);
            let model = Model::open("b0.cifar10").unwrap();
            let model = ServedModel::new("small", model)
                .unwrap()
                .with_logits(Arc::new(small));
            model.choose_batch_size(Some(batch_size)).unwrap();
            Self {
                queue: Arc::new(Queue::new(16, runners, delay)),
                model: Arc::new(model),
                places: Arc::new(Semaphore::new(16)),
                calls,
            }
        }

        fn push(&self, first: f32, left: Duration) -> oneshot::Receiver<Result<Answer, WorkError>> {
            let (reply, answer) = oneshot::channel();
            let mut pixels = vec![0.0; self.model.transform().output_len()];
            pixels[0] = first;
            self.queue.push(Job {
                model: Arc::clone(&self.model),
                task: Task::Logits,
                pixels,
                queued: Instant::now(),
                ticket: Ticket {
                    reply,
                    deadline: Instant::now() + left,
                    place: Arc::clone(&self.places).try_acquire_owned().unwrap(),
                },
            });
            answer
        }

        /// Runs what is queued, and returns the sizes of the batches.
        fn run(&self) -> Vec<usize> {
            self.queue.close();
            run(&self.queue, &Metrics::new());
            self.calls.lock().unwrap().clone()
        }
    }

    const LONG: Duration = Duration::from_secs(600);

    fn first(answer: &mut oneshot::Receiver<Result<Answer, WorkError>>) -> f32 {
        match answer.try_recv().unwrap().unwrap() {
            Answer::Row(row) => row[0],
            Answer::Explanation(_) => panic!("a row is expected"),
        }
    }

    #[test]
    fn a_batch_that_runs_out_of_memory_is_halved_and_every_image_keeps_its_answer() {
        let fixture = Fixture::new(5, 1, Duration::ZERO);
        let mut answers: Vec<_> = (0..7u8)
            .map(|number| fixture.push(f32::from(number), LONG))
            .collect();
        // 5 fail, then 2 and 3; 3 fail, then 1 and 2; later batches have at most as many as fitted last.
        assert_eq!(fixture.run(), [5, 2, 3, 1, 2, 1, 1]);
        let values: Vec<f32> = answers.iter_mut().map(first).collect();
        assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(fixture.places.available_permits(), 16);
    }

    #[test]
    fn a_thread_with_a_larger_batch_does_not_undo_what_another_has_reduced() {
        let model = Fixture::new(8, 1, Duration::ZERO).model;
        model.reduce_batch_size(2);
        model.reduce_batch_size(4);
        assert_eq!(model.batch_size(), 2);
    }

    #[test]
    fn images_that_nobody_waits_for_are_not_computed() {
        let fixture = Fixture::new(2, 1, Duration::ZERO);
        let gone = fixture.push(1.0, LONG);
        let late = fixture.push(2.0, Duration::ZERO);
        let mut kept = fixture.push(3.0, LONG);
        drop(gone);
        assert_eq!(fixture.run(), [1]);
        assert_eq!(first(&mut kept), 3.0);
        assert!(late.blocking_recv().is_err());
        assert_eq!(fixture.places.available_permits(), 16);
    }

    #[test]
    fn a_full_batch_does_not_wait_for_the_delay_and_the_oldest_lane_is_first() {
        let fixture = Fixture::new(2, 1, LONG);
        let _answers = [
            fixture.push(1.0, LONG),
            fixture.push(2.0, LONG),
            fixture.push(3.0, LONG),
        ];
        // With the delay of ten minutes, only a full batch is due.
        let batch = fixture.queue.take().unwrap();
        fixture.queue.done();
        assert_eq!(
            batch.jobs.iter().map(|job| job.pixels[0]).collect::<Vec<_>>(),
            [1.0, 2.0]
        );
        assert_eq!(fixture.queue.len(), 1);
        assert_eq!(fixture.run(), [1]);
    }

    #[test]
    fn an_image_that_is_alone_gets_all_threads_and_several_are_shared_out() {
        let fixture = Fixture::new(8, 2, Duration::ZERO);
        let queue = &fixture.queue;
        let _alone = fixture.push(0.0, LONG);
        let batch = queue.take().unwrap();
        assert!(batch.is_alone && batch.jobs.len() == 1);
        let _several: Vec<_> = (1..=5u8)
            .map(|number| fixture.push(f32::from(number), LONG))
            .collect();
        // Another thread waits until the image is done.
        let (sender, taken) = std::sync::mpsc::channel();
        let other = Arc::clone(queue);
        let thread = std::thread::spawn(move || sender.send(other.take().unwrap()));
        assert!(taken.recv_timeout(Duration::from_millis(50)).is_err());
        queue.done();
        let first = taken.recv().unwrap();
        let second = queue.take().unwrap();
        let sizes = [&first, &second].map(|batch| (batch.jobs.len(), batch.is_alone));
        assert_eq!(sizes, [(3, false), (2, false)]);
        thread.join().unwrap().unwrap();
    }
}
