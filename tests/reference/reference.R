# Reference values for tests/unit/test_metrics_reference.py, from R's own packages.
#
#   Rscript tests/reference/reference.R > tests/reference/reference.json
#
# Needs Debian's r-base-core, r-cran-proc, r-cran-rms and r-cran-jsonlite. The values that are kept
# were made with the versions that the file names. Cases are drawn here: ties, rare classes, few
# images; scores are rounded so that they can be written down exactly.
suppressPackageStartupMessages({
  library(pROC); library(rms); library(jsonlite)
})
set.seed(20261124)

draw <- function(n, prevalence, gap, digits) {
  repeat {
    y <- rbinom(n, 1, prevalence)
    if (sum(y) >= 2 && sum(1 - y) >= 2) break
  }
  list(y = y, a = round(rnorm(n) + gap * y, digits), b = round(rnorm(n) + gap * y / 2, digits))
}

discrimination <- function(case) {
  first <- roc(case$y, case$a, direction = "<", quiet = TRUE)
  second <- roc(case$y, case$b, direction = "<", quiet = TRUE)
  paired <- suppressWarnings(roc.test(first, second, method = "delong", paired = TRUE))
  part <- function(focus, ...) as.numeric(suppressWarnings(
    auc(first, partial.auc = c(1, 0.9), partial.auc.focus = focus, ...)))
  interval <- suppressWarnings(as.numeric(ci.auc(first, method = "delong")))
  list(labels = case$y, first = case$a, second = case$b,
       auroc = as.numeric(auc(first)), variance = as.numeric(var(first, method = "delong")),
       low = interval[1], high = interval[3],
       covariance = as.numeric(cov(first, second, method = "delong")),
       p = as.numeric(paired$p.value),
       partial_specificity = part("specificity"),
       partial_sensitivity = part("sensitivity"))
}

cases <- list()
for (n in c(8, 20, 60, 200)) for (prevalence in c(0.1, 0.5, 0.85))
  for (gap in c(0, 1, 2.5)) for (digits in c(0, 1, 6)) {
    # Perfectly separated cases have no variance to compare.
    repeat {
      case <- draw(n, prevalence, gap, digits)
      up <- case$a[case$y == 1]; down <- case$a[case$y == 0]
      if (min(up) <= max(down) && var(case$a) > 0 && any(rank(case$a) != rank(case$b))) break
    }
    cases <- c(cases, list(discrimination(case)))
  }

shares <- list()
for (n in c(1, 2, 5, 17, 100, 1000)) for (x in unique(round(n * c(0, 0.02, 0.3, 0.5, 0.97, 1)))) {
  wilson <- suppressWarnings(prop.test(x, n, correct = FALSE)$conf.int)
  exact <- binom.test(x, n)$conf.int
  shares <- c(shares, list(list(x = x, n = n, wilson = as.numeric(wilson), exact = as.numeric(exact))))
}

mcnemar <- list()
for (b in c(0, 1, 3, 6, 12)) for (c in c(0, 2, 6, 15)) {
  if (b + c == 0) next
  exact <- binom.test(b, b + c)$p.value
  mcnemar <- c(mcnemar, list(list(b = b, c = c, exact = exact,
    mid = 2 * pbinom(min(b, c), b + c, 0.5) - dbinom(b, b + c, 0.5))))
}

lines <- list()
for (n in c(60, 300, 1000)) for (slope in c(0.5, 1, 2)) {
  logit <- round(rnorm(n, 0.3, 1.4), 4)
  y <- rbinom(n, 1, plogis(0.4 + slope * logit))
  p <- plogis(logit)
  fit <- glm(y ~ logit, family = binomial)
  large <- glm(y ~ offset(logit), family = binomial)
  value <- val.prob(p, y, pl = FALSE)
  lines <- c(lines, list(list(labels = y, logits = logit,
    slope = as.numeric(coef(fit)[2]), intercept = as.numeric(coef(fit)[1]),
    in_the_large = as.numeric(coef(large)[1]),
    brier = as.numeric(value["Brier"]))))
}

adjusted <- list()
for (k in 1:20) {
  p <- round(runif(sample(1:12, 1))^2, 4)
  adjusted <- c(adjusted, list(list(p = I(p), holm = I(p.adjust(p, "holm")))))
}

versions <- list(R = R.version.string, pROC = as.character(packageVersion("pROC")),
                 rms = as.character(packageVersion("rms")))
cat(toJSON(list(versions = versions, discrimination = cases, shares = shares, mcnemar = mcnemar,
                lines = lines, holm = adjusted),
           digits = 15, auto_unbox = TRUE), "\n")
