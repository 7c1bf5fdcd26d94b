"""Train FSTCN: python -m training.fit [--dataset NAME --data-dir DIR] --split N

Decodes the videos once, trains in stages, and evaluates on the split's test videos. The same
command again goes on where an interrupted one stopped. All results go to the run folder.
`--split all` does so for the three splits one after another, each in a folder of its own, and
gives the mean and the deviation of their accuracies; `--folds K --fold all` for K folds.
"""

from training import cli, split_summary
from training.claims import claim_run, open_run, removed_if_refused
from training.on_cluster import TrainingClusterOptions
from training.options import FitOptions


def main(options: FitOptions):
    """Trains and evaluates one run, or one for each split or fold."""
    with removed_if_refused(options.run_folder()):
        folder = open_run(options)  # at once, before devices and data are looked at
        if options.is_series:
            claim_run(options, folder)

        from training.fitting import fit_runs  # TensorFlow: not before the options are sound

        chief = fit_runs(options.each_split())
    if options.is_series and chief:
        split_summary.summarise(options)
    elif chief:
        run = options.run_folder().quoted()
        print(
            f"next: python -m training.predict {run} VIDEO; python -m analysis.report {run}; "
            f"python -m fstcn_keras.serve {run}"
        )


if __name__ == "__main__":
    cli.run(main, FitOptions, cluster_options=TrainingClusterOptions)
