"""The life of the p(open) model: dataset, training, evaluation, registry, promotion, scoring."""
