"""Problems to measure on: files of a user, generated ones, public benchmarks. Nothing that learns may import this."""
