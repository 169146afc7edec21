"""Does batch norm help a perceptron of eight layers, each with and without it at its own best rate?"""

import skipnorm as sn

nets = {n: sn.Perceptron(inputs=40, outputs=10, depth=8, norm=n) for n in ("none", "batch")}
training = sn.Training(steps=200, batch=64, settings={"momentum": 0.9}, schedule="cosine")
how = {"training": training, "rates": (0.01, 0.03, 0.1, 0.3), "probes": ["gradient"]}
variants = {name: sn.Variant(net, sn.Mnist1d(flat=True), **how) for name, net in nets.items()}
study = sn.Study("norm", variants, seeds=range(8))


def ratio(evidence):
    loss = sn.best_of_grid(evidence).test_loss  # the rate is chosen on validation data
    return loss.sel(variant="batch", drop=True) / loss.sel(variant="none", drop=True)


sentence = "Batch norm lowers the test loss by a tenth or more."
claim = sn.Claim("norm", sentence, "my guess", "derived", ratio, sn.AtMost(0.9), scale="log")

if __name__ == "__main__":
    evidence = sn.run(study, "runs/norm", executor="processes")
    print(sn.compare_rates(evidence).centre.to_pandas().round(3))
    verdict = sn.judge(claim, evidence)
    print(f"{sentence}\n{verdict.ruling}: {verdict.reason}")
