"""Rare classes: does focal loss help the rare?"""
