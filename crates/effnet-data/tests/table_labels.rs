//! Tables with several labels per image: empty fields, blank cells, spaces and numbers as labels.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_architecture::Task;
use effnet_data::{Evaluation, EvaluationOptions, Splits};
use listed::{assert_says, home, notices, read, targets};

const IMAGES: [&str; 5] = ["a.bmp", "b.bmp", "c.bmp", "d.bmp", "e.bmp"];
const MULTI_LABEL: Option<Task> = Some(Task::MultiLabel);

#[test]
fn test_images_with_no_label_at_all_are_measured() {
    for table in [
        "path,labels,split\na.bmp,x;z,train\nb.bmp,z;x,val\nc.bmp,,test\nd.bmp,x,test\ne.bmp,,test\n",
        "path,x,z,split\na.bmp,1,1,train\nb.bmp,1,1,val\nc.bmp,0,0,test\nd.bmp,1,0,test\ne.bmp,,,test\n",
    ] {
        let root = home(&IMAGES, table);
        let path = root.path().join("list.csv");
        let test = Evaluation::open(
            &path,
            &EvaluationOptions::default()
                .with_task(MULTI_LABEL)
                .with_test(true),
        )
        .unwrap();
        assert_eq!(
            targets(root.path(), &*test.images),
            "c.bmp , d.bmp x, e.bmp ",
            "{table}"
        );
        let told = notices(&test.reading.notices, false);
        assert!(
            told.iter()
                .any(|notice| notice.starts_with("2 images without any label")),
            "{told:?}"
        );
    }
}

#[test]
fn test_images_of_which_none_has_a_label_are_not_labelled_yet() {
    // They need not be there, either.
    let table = "path,labels,split\na.bmp,x;z,train\nb.bmp,z,train\nc.bmp,,test\nmissing.bmp,,test\n";
    let root = home(&IMAGES, table);
    let splits = Splits::open_for(root.path().join("list.csv"), MULTI_LABEL).unwrap();
    assert!(splits.val.is_none());
    assert_eq!(
        notices(&splits.reading.notices, false),
        ["ignored: split = test (rows without a label: 2)"]
    );
}

#[test]
fn an_image_without_a_label_needs_the_task() {
    let found = read(&IMAGES, "image,labels\na.bmp,cat\nb.bmp,\n", MULTI_LABEL);
    assert_eq!(found.unwrap(), "a.bmp cat, b.bmp ");
    let found = read(&IMAGES, "image,cat,dog\na.bmp,1,0\nb.bmp,0,0\n", MULTI_LABEL);
    assert_eq!(found.unwrap(), "a.bmp cat, b.bmp ");
    let far: String = (0..300).map(|_| "a.bmp,1,0\n").collect();
    for (table, words) in [
        (
            "image,labels\na.bmp,cat\nb.bmp,\n".to_owned(),
            "\"b.bmp,\" on line 3",
        ),
        (
            "image,cat,dog\na.bmp,1,0\nb.bmp,0,0\n".to_owned(),
            "a column of labels",
        ),
        (
            format!("image,cat,dog\n{far}b.bmp,0,0\n"),
            "no class with a 1 on line 302",
        ),
    ] {
        for task in [None, Some(Task::Classify)] {
            assert_says(
                &read(&IMAGES, &table, task).unwrap_err(),
                &[words, "--task multilabel"],
            );
        }
    }
}

#[test]
fn a_blank_cell_of_a_one_hot_column_is_0() {
    let images = &IMAGES[..3];
    for (table, task, expected) in [
        (
            "path,x,z\na.bmp,1,\nb.bmp,,1\nc.bmp,0,1\n",
            None,
            "a.bmp x, b.bmp z, c.bmp z",
        ),
        (
            "path,x,z\na.bmp,1,\nb.bmp,1,1\nc.bmp,,\n",
            None,
            "a.bmp x, b.bmp x+z, c.bmp ",
        ),
        (
            "path,x,z\na.bmp,1.0,0.0\nb.bmp,,1.0\nc.bmp,1.0,\n",
            None,
            "a.bmp x, b.bmp z, c.bmp x",
        ),
        (
            "path,x,z\na.bmp,true,\nb.bmp,,true\nc.bmp,true,false\n",
            None,
            "a.bmp x, b.bmp z, c.bmp x",
        ),
        (
            "path,x\na.bmp,1\nb.bmp,\nc.bmp,0\n",
            MULTI_LABEL,
            "a.bmp x, b.bmp , c.bmp ",
        ),
        (
            "path,x,z,author\na.bmp,1,,me\nb.bmp,,1,\nc.bmp,,1,1\n",
            None,
            "a.bmp x, b.bmp z, c.bmp z",
        ),
    ] {
        assert_eq!(read(images, table, task).as_deref(), Ok(expected), "{table}");
    }
    // A label of which the first rows have none, and a first blank far below.
    let far: String = (0..300).map(|_| "a.bmp,1,,\n").collect();
    let table = format!("path,x,z,w\n{far}b.bmp,,1,\nc.bmp,,,1\n");
    assert_eq!(read(images, &table, None).unwrap(), "a.bmp x, b.bmp z, c.bmp w");
    let far: String = (0..300).map(|_| "a.bmp,1,0\n").collect();
    let table = format!("path,x,z\n{far}b.bmp,,1\n");
    assert_eq!(read(images, &table, None).unwrap(), "a.bmp x, b.bmp z");
}

#[test]
fn a_cell_of_a_one_hot_column_that_is_neither_0_nor_1_is_refused() {
    let far: String = (0..300).map(|_| "a.bmp,1,0,0\n").collect();
    for cell in ["-1", "y", "x", "-1.0"] {
        let near = format!("path,cat,dog,owl\na.bmp,1,0,0\nb.bmp,0,1,{cell}\nc.bmp,,,1\n");
        let below = format!("path,cat,dog,owl\n{far}b.bmp,0,1,{cell}\n");
        for (table, line) in [(near, "line 3"), (below, "line 302")] {
            for task in [None, MULTI_LABEL, Some(Task::Classify)] {
                let error = read(&IMAGES, &table, task).unwrap_err();
                assert_says(&error, &[&format!("`{cell}` in column owl on {line}"), "0, 1"]);
            }
        }
    }
    // A number of something is not a label.
    let table = "path,cat,dog,legs\na.bmp,1,0,4\nb.bmp,0,1,1\nc.bmp,0,1,0\n";
    assert_eq!(
        read(&IMAGES, table, None).unwrap(),
        "a.bmp cat, b.bmp dog, c.bmp dog"
    );
    let error = read(&IMAGES, "path,cat,dog\na.bmp,1,0\nb.bmp,0\n", MULTI_LABEL).unwrap_err();
    assert_says(&error, &["nothing in column dog on line 3"]);
}

#[test]
fn words_that_are_labels_of_other_images_are_several_labels() {
    let table = "path,tags\na.bmp,haze primary\nb.bmp,primary\nc.bmp,haze\nd.bmp,\n";
    let root = home(&IMAGES, table);
    let path = root.path().join("list.csv");
    let splits = Splits::open_for(&path, MULTI_LABEL).unwrap();
    assert_eq!(splits.train.classes(), ["haze", "primary"]);
    assert_eq!(
        targets(root.path(), &*splits.train),
        "a.bmp haze+primary, b.bmp primary, c.bmp haze, d.bmp "
    );
    let told = notices(&splits.reading.notices, false);
    assert!(
        told[0].contains("separated by spaces") && told[0].contains("haze primary"),
        "{told:?}"
    );
    // A name stays whole, and so does everything where another separator is used.
    for (table, expected) in [
        (
            "path,tags\na.bmp,polar bear\nb.bmp,bear\n",
            "a.bmp polar bear, b.bmp bear",
        ),
        (
            "path,tags\na.bmp,haze primary\nb.bmp,primary;haze\nc.bmp,haze\n",
            "a.bmp haze primary, b.bmp haze+primary, c.bmp haze",
        ),
    ] {
        assert_eq!(read(&IMAGES, table, MULTI_LABEL).as_deref(), Ok(expected));
    }
    let splits = Splits::open_for(&path, Some(Task::Classify));
    assert!(splits.is_err(), "d.bmp has no class");
    let root = home(
        &IMAGES,
        "path,tags\na.bmp,haze primary\nb.bmp,primary\nc.bmp,haze\n",
    );
    let path = root.path().join("list.csv");
    let splits = Splits::open_for(&path, None).unwrap();
    assert_says(
        &notices(&splits.reading.notices, true)[0],
        &["haze primary", "--task multilabel"],
    );
    // With the classes of a network, it does not matter which words stand alone.
    let root = home(&IMAGES, "path,tags\na.bmp,haze primary\nb.bmp,primary\n");
    let classes = ["haze".to_owned(), "primary".to_owned()];
    let options = EvaluationOptions::default()
        .with_classes(classes.to_vec())
        .with_task(MULTI_LABEL);
    let images = Evaluation::open(root.path().join("list.csv"), &options)
        .unwrap()
        .images;
    assert_eq!(
        targets(root.path(), &*images),
        "a.bmp haze+primary, b.bmp primary"
    );
}

#[test]
fn several_columns_of_labels_may_be_numbers() {
    let table = "path,label1,label2\na.bmp,3,7\nb.bmp,7,\nc.bmp,3,3\n";
    assert_eq!(
        read(&IMAGES, table, MULTI_LABEL).unwrap(),
        "a.bmp 3+7, b.bmp 7, c.bmp 3"
    );
    // They may as well be numbers to predict.
    assert_says(
        &read(&IMAGES, table, None).unwrap_err(),
        &["--task multilabel", "--task regression"],
    );
}

#[test]
fn columns_of_0_and_1_beside_the_classes_do_not_make_several_labels() {
    for (table, expected) in [
        ("path,label,male\na.bmp,1,1\nb.bmp,0,\n", "a.bmp 1, b.bmp 0"),
        (
            "path,cat,dog,verified\na.bmp,1,0,1\nb.bmp,0,1,\n",
            "a.bmp cat, b.bmp dog",
        ),
        (
            "path,cat,dog,smoker\na.bmp,1,0,NA\nb.bmp,0,1,1\nc.bmp,0,1,0\n",
            "a.bmp cat, b.bmp dog, c.bmp dog",
        ),
        (
            "path,cat,dog,smoker\na.bmp,1,0,?\nb.bmp,0,1,1\nc.bmp,0,1,N/A\n",
            "a.bmp cat, b.bmp dog, c.bmp dog",
        ),
    ] {
        assert_eq!(read(&IMAGES, table, None).as_deref(), Ok(expected), "{table}");
    }
}

#[test]
fn columns_of_0_and_1_are_labels_even_if_one_has_a_name_for_classes() {
    let table = "path,target,toxic,obscene\na.bmp,1,1,0\nb.bmp,0,0,1\nc.bmp,1,0,1\n";
    assert_eq!(
        read(&IMAGES, table, None).as_deref(),
        Ok("a.bmp target+toxic, b.bmp obscene, c.bmp target+obscene")
    );
}

#[test]
fn a_column_that_unlabelled_images_lack_leaves_no_other_to_learn() {
    let table = "path,patient,disease\na.bmp,p1,flu\nb.bmp,p2,\nc.bmp,p1,cold\n";
    assert_says(&read(&IMAGES, table, None).unwrap_err(), &["patient", "disease"]);
}
