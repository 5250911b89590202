// Calls of operators by name, through libtorch's dispatcher.

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include "torch_boundary.h"

extern "C" {

// The order is part of the C interface.
enum effnet_value_kind : int32_t { value_none, value_tensor, value_tensors, value_float, value_int, value_bool };

struct effnet_value {
    int32_t kind;
    int64_t integer;
    double number;
    const at::Tensor* const* tensors;
    size_t count;
};

// Takes ownership of the tensor, and does not unwind.
typedef void (*effnet_take)(void* context, at::Tensor* tensor);
}

static c10::IValue to_ivalue(const effnet_value& value) {
    switch (value.kind) {
    case value_tensor: return **value.tensors;
    case value_tensors: {
        c10::List<at::Tensor> list;
        list.reserve(value.count);
        for (size_t i = 0; i < value.count; ++i) list.push_back(*value.tensors[i]);
        return list;
    }
    case value_float: return value.number;
    case value_int: return value.integer;
    case value_bool: return value.integer != 0;
    default: return c10::IValue();
    }
}

extern "C" {

char* effnet_call(const char* name, const char* overload, const effnet_value* values, size_t count,
                  effnet_take take, void* context) {
    return torch_guarded([&] {
        const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
        torch::jit::Stack stack;
        for (size_t i = 0; i < count; ++i) stack.push_back(to_ivalue(values[i]));
        op.schema().checkAndNormalizeInputs(stack);
        op.callBoxed(stack);
        for (const c10::IValue& result : stack) {
            if (result.isTensor()) {
                take(context, new at::Tensor(result.toTensor()));
            } else if (result.isTensorList()) {
                for (const at::Tensor& tensor : result.toTensorVector()) take(context, new at::Tensor(tensor));
            }
        }
    });
}

// Leaves the tensors without a gradient, as `zero_grad(set_to_none=True)` does.
char* effnet_clear_gradients(const at::Tensor* const* tensors, size_t count) {
    return guarded([&] {
        for (size_t i = 0; i < count; ++i)
            if (tensors[i]->grad().defined()) tensors[i]->mutable_grad() = at::Tensor();
    });
}

} // extern "C"
