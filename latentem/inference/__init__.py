"""What follows from a fit by differentiation: information, standard errors, tests, rate, scores, influence."""
