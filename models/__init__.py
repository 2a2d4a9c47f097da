"""The p(open) model's life: dataset, training, evaluation, registry, promotion, scoring."""
