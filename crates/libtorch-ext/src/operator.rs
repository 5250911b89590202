//! Calls libtorch operators by name, for operators that tch does not expose.

use std::ffi::{CString, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::Error;
use crate::error::check;
use crate::raw::{RawValue, ValueKind, effnet_call, effnet_clear_gradients};

/// One argument of an operator.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// `None` for an optional argument.
    None,
    /// `Tensor`.
    Tensor(&'a Tensor),
    /// `Tensor[]`.
    Tensors(&'a [Tensor]),
    /// `float` or `Scalar`.
    Float(f64),
    /// `int`.
    Int(i64),
    /// `bool`.
    Bool(bool),
}

/// Receives one result of `effnet_call`.
///
/// # Safety
/// `context` must be the `Vec<Tensor>` that was passed with this function, and `tensor` an `at::Tensor` on the
/// heap that nothing else owns.
unsafe extern "C" fn take(context: *mut c_void, tensor: *mut C_tensor) {
    // SAFETY: by this function's contract.
    unsafe {
        (*context.cast::<Vec<Tensor>>()).push(Tensor::from_ptr(tensor));
    }
}

/// Calls the operator `name.overload`, for example `aten::_foreach_lerp_` with the overload `Scalar`, and returns
/// its results. Lists of tensors among the results are flattened.
///
/// Arguments are in the order of the operator's schema, and are checked against it; trailing arguments with a
/// default may be omitted.
///
/// # Errors
/// [`Error::Native`] when there is no such operator, when an argument is of the wrong type, and when the
/// operator fails; [`Error::OutOfMemory`].
pub fn call(name: &str, overload: &str, arguments: &[Value<'_>]) -> Result<Vec<Tensor>, Error> {
    let text = |text: &str| {
        CString::new(text).map_err(|_| {
            Error::Native(format!(
                "`{}` is not the name of an operator",
                text.escape_debug()
            ))
        })
    };
    let (name, overload) = (text(name)?, text(overload)?);
    let pointers: Vec<Vec<*mut C_tensor>> = arguments.iter().map(pointers).collect();
    let values: Vec<RawValue> = arguments
        .iter()
        .zip(&pointers)
        .map(|(value, pointers)| raw(value, pointers))
        .collect();
    let mut results: Vec<Tensor> = Vec::new();
    // SAFETY: names and values are alive and have the stated lengths, the tensors behind the values are borrowed
    // for the call, and `take` receives the vector that it expects.
    check(unsafe {
        effnet_call(
            name.as_ptr(),
            overload.as_ptr(),
            values.as_ptr(),
            values.len(),
            take,
            (&raw mut results).cast(),
        )
    })?;
    Ok(results)
}

/// Drops the gradients of the tensors, like PyTorch's `zero_grad(set_to_none=True)`.
pub(crate) fn clear_gradients(tensors: &[Tensor]) -> Result<(), Error> {
    let pointers = pointers(&Value::Tensors(tensors));
    // SAFETY: there are as many tensors as the count says, borrowed for the call.
    check(unsafe { effnet_clear_gradients(pointers.as_ptr(), pointers.len()) })
}

fn pointers(value: &Value<'_>) -> Vec<*mut C_tensor> {
    let pointer = |tensor: &Tensor| tensor.as_ptr().cast_mut();
    match value {
        Value::Tensor(tensor) => vec![pointer(tensor)],
        Value::Tensors(tensors) => tensors.iter().map(pointer).collect(),
        _ => Vec::new(),
    }
}

fn raw(value: &Value<'_>, pointers: &[*mut C_tensor]) -> RawValue {
    let (kind, integer, number) = match *value {
        Value::None => (ValueKind::None, 0, 0.0),
        Value::Tensor(_) => (ValueKind::Tensor, 0, 0.0),
        Value::Tensors(_) => (ValueKind::Tensors, 0, 0.0),
        Value::Float(number) => (ValueKind::Float, 0, number),
        Value::Int(integer) => (ValueKind::Int, integer, 0.0),
        Value::Bool(flag) => (ValueKind::Bool, i64::from(flag), 0.0),
    };
    RawValue {
        kind,
        integer,
        number,
        tensors: pointers.as_ptr(),
        count: pointers.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_returns_its_results_in_order() {
        let both = [Tensor::from_slice(&[3.0, 4.0]), Tensor::from_slice(&[5.0, 12.0])];
        let norms = call("aten::_foreach_norm", "Scalar", &[Value::Tensors(&both)]).unwrap();
        let norms: Vec<f64> = norms.iter().map(|norm| norm.double_value(&[])).collect();
        assert_eq!(norms, [5.0, 13.0]);
    }

    #[test]
    fn an_argument_of_the_wrong_type_is_refused() {
        let arguments = [Value::Bool(true), Value::Float(1.0)];
        let error = call("aten::_foreach_norm", "Scalar", &arguments)
            .unwrap_err()
            .to_string();
        assert!(error.contains("_foreach_norm"), "{error}");
    }

    #[test]
    fn an_unknown_operator_is_refused() {
        let error = call("aten::no_such_operator", "", &[]).unwrap_err().to_string();
        assert!(error.contains("no_such_operator"), "{error}");
    }
}
