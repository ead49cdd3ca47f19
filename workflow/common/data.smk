# What decides the data sets of a scale.


def embedded_params(scale):
    data = PLAN.data(scale)
    return {"seed": data["seed"], "embedded": data["embedded"]}


def corpus_params(scale):
    data = PLAN.data(scale)
    return {
        **embedded_params(scale),
        "min_length": data["min_length"],
        "exclude": data["exclude"],
    }
