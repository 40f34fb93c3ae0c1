"""Labels for a store that nobody has annotated.

`text_fit` measures how well each request fits the others; `signs` adds up what the catalogue says
points to a defect; `stages` is a packaged model that guesses the stage; `labels` combines them with
feedback (`evidence` is what all of these read). `classifiers.training_labels` takes the result as
it takes any other labels.
"""
